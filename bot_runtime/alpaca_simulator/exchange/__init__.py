"""Accounts and their orders: what is accepted, what is filled, what is owned."""
