"""`python -m kubectl_tradingbot`: the same program where the script is not on PATH."""

from kubectl_tradingbot.cli import main

if __name__ == "__main__":
    main()
