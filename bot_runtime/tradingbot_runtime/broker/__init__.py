"""The broker as the runtime sees it: one port, one adapter for Alpaca's protocol. Never retries an order."""
