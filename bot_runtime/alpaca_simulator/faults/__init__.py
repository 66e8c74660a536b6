"""Faults on demand: rules that say what goes wrong, where and how often, and the seams that ask them."""
