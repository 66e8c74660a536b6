"""The state file: what a simulator needs to go on after a restart, kill -9 included."""
