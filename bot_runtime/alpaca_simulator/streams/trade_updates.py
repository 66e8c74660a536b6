"""The trade-update stream of one connection: frames in, frames out.

No sockets: whoever has one feeds it what arrives and sends what it returns. Nothing is replayed.
"""

from __future__ import annotations

import json
from uuid import UUID

from alpaca_simulator.api.messages import json_bytes
from alpaca_simulator.api.rendering import trade_update_json
from alpaca_simulator.exchange.accounts import Account
from alpaca_simulator.exchange.updates import TradeUpdate
from alpaca_simulator.faults.key_faults import Keys

TRADE_UPDATES = "trade_updates"
LARGEST_FRAME_BYTES = 16 * 1024


class StreamConnection:
    """What one client of `/stream` has proved and listens to."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.account: Account | None = None
        self.is_listening = False
        #: The server never ends this stream of its own accord.
        self.is_ending = False

    @property
    def account_id(self) -> UUID | None:
        """The id of the account that the client has proved to be."""
        return None if self.account is None else self.account.account_id

    def receive(self, frame: str | bytes) -> list[bytes]:
        """The frames that answer a client's frame; what cannot be understood is answered with an error."""
        message = _read(frame)
        match message.get("action"):
            case "authenticate":
                data = message.get("data")
                fields = data if isinstance(data, dict) else {}
                return [self._authenticate(fields.get("key_id"), fields.get("secret_key"))]
            case "auth":
                return [self._authenticate(message.get("key"), message.get("secret"))]
            case "listen":
                return [self._listen(message.get("data"))]
        return [_frame("error", {"action": "unknown", "status": "invalid", "error": "invalid message"})]

    def update(self, update: TradeUpdate) -> bytes | None:
        """The frame that tells `update`, None when this client is not to hear it."""
        if not self.is_listening or update.account_id != self.account_id:
            return None
        return trade_update_frame(update)

    def error(self, code: int, message: str) -> list[bytes]:
        """The frames that tell of an error of the server."""
        return [_frame("error", {"code": code, "error": message})]

    def time_out(self) -> list[bytes]:
        """The last frames of a client that did not authenticate in time: this stream says nothing."""
        return []

    def fall_behind(self) -> list[bytes]:
        """The last frames of a client that reads too slowly: this stream says nothing."""
        return []

    def close(self) -> None:
        """The connection is gone. Safe to call twice."""
        self.is_listening = False

    def _authenticate(self, key_id: object, secret_key: object) -> bytes:
        known = isinstance(key_id, str) and isinstance(secret_key, str)
        account = self._keys.account(str(key_id), str(secret_key)) if known else None
        if account is not None:
            if self.account is not account:
                self.is_listening = False
            self.account = account
        status = "unauthorized" if account is None else "authorized"
        return _frame("authorization", {"action": "authenticate", "status": status})

    def _listen(self, data: object) -> bytes:
        if self.account is None:
            return _frame("authorization", {"action": "listen", "status": "unauthorized"})
        streams = data.get("streams") if isinstance(data, dict) else None
        self.is_listening = isinstance(streams, list) and TRADE_UPDATES in streams
        return _frame("listening", {"streams": [TRADE_UPDATES] if self.is_listening else []})


def trade_update_frame(update: TradeUpdate) -> bytes:
    """A trade update as the binary frame that carries it."""
    return _frame(TRADE_UPDATES, trade_update_json(update))


def _frame(stream: str, data: dict[str, object]) -> bytes:
    return json_bytes({"stream": stream, "data": data})


def _read(frame: str | bytes) -> dict[str, object]:
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
