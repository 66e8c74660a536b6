"""Runs a `requests` client, such as alpaca-py's, against a RestApi in this process.

No sockets and no waiting: a timeout that the caller sets is never reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from alpaca_simulator.api.messages import Request
from alpaca_simulator.api.rest import RestApi

#: A base URL that no name server knows, so that a client without the adapter fails at once.
BASE_URL = "http://alpaca-simulator.invalid"


class InProcessAdapter(BaseAdapter):
    """A transport adapter that answers every request through `RestApi.handle`."""

    def __init__(self, rest: RestApi) -> None:
        super().__init__()
        self._rest = rest

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one prepared request; everything about connections is ignored."""
        parts = urlsplit(request.url or "")
        body = request.body or b""
        answer = self._rest.handle(
            Request(
                method=request.method or "GET",
                path=parts.path,
                query=parts.query,
                headers=dict(request.headers),
                body=body.encode() if isinstance(body, str) else bytes(body),
            )
        )
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.url = request.url or ""
        response.request = request
        response.encoding = "utf-8"
        response.raw = BytesIO(answer.body)
        return response

    def close(self) -> None:
        """Nothing is held open."""


def answer_in_process(session: requests.Session, rest: RestApi) -> None:
    """Let `session` (alpaca-py keeps its own in `client._session`) be answered by `rest` for every URL."""
    adapter = InProcessAdapter(rest)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
