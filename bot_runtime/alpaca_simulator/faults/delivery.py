"""How an answer reaches its client, as a value: whole and at once, or late, slowly, in part, never.

Whoever has the transport carries it out; nothing here waits or touches a connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from alpaca_simulator.api.messages import Response


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the transport does with an answer; seconds are the machine's.

    `delay_seconds` pass first. `bytes_per_second` bounds the body's speed. After `cut_after_bytes` of the
    body the connection ends though more was promised. `silent_seconds` pass without an answer before a
    `reset`.
    """

    delay_seconds: float = 0.0
    bytes_per_second: float | None = None
    cut_after_bytes: int | None = None
    silent_seconds: float = 0.0
    reset: bool = False


#: Whole and at once.
AT_ONCE = Delivery()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response and how it is delivered; None where the client gets no response at all."""

    response: Response | None
    delivery: Delivery = AT_ONCE
