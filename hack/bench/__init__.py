"""What this project's parts cost, each measured beside something bare on the same machine in the same run.

Ratios travel between machines, times do not: nothing here passes or fails by its speed.
"""
