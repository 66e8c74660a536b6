"""`kubectl tradingbot`: looks at bots, approves, kills, releases, and gathers a bug report, with kubectl's own rights.

Talks to the API server through kubectl alone, so that it can do what the person can do and nothing more. Must never
read a Secret, decide what a gate says, or call a kill done before the broker's own word is in the status.
"""
