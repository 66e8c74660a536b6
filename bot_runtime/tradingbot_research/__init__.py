"""Backtests, and validations that are hard to fool: bars and target weights in, figures and files out.

Orders nothing and knows no broker. Floats are used throughout: no figure of this package ever becomes an order.
"""
