"""Paper to live: what counts as evidence, what a gate says of it, and whose word is needed. Pure.

Must never do I/O, read a clock or hold anything between two calls.
"""
