"""`python -m alpaca_simulator` is the console script `alpaca-simulator`; nothing else lives here."""

from alpaca_simulator.cli import main

main()
