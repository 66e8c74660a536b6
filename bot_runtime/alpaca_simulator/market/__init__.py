"""The market: what is listed, when it trades, and what it costs at any second."""
