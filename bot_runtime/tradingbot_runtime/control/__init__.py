"""Who may stop the bot from outside: its own TradingBot in Kubernetes, a file, or nobody. Only watches."""
