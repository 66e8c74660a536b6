"""Every decision about money, without I/O: no clock of its own, no randomness, no await.

`Engine.handle(event, now)` returns commands; whoever calls it journals, sends and asks.
"""
