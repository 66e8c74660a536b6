"""A simulated Alpaca: exchange, market, REST and trade-update stream, for any Alpaca client.

It stands alone and imports none of the other packages of this distribution; it must never
reach the network on its own or trade with anybody real.
"""
