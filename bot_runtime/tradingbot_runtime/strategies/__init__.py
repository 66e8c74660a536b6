"""Strategies: pure functions from bars to target weights. They see no account, no clock and no broker."""
