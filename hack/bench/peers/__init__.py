"""Programs that play one and the same backtest, each with another engine and in an environment of its own.

Nothing here may import anything of ours but `tradingbot_engine`, which is ours among them.
"""
