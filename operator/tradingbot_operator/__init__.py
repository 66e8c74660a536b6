"""The operator: reconciles the custom resources. Never trades, and never reads broker keys."""
