"""The commands of `tradingbot`, a module a command. Each checks what it was given before it touches anything."""
