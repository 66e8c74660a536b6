"""HTTP for alpaca-py with what it lacks: timeouts, a limit on slow and long bodies, and no retries at all.

alpaca-py sends a request again on 429 and 504, orders included, and waits for ever; neither may happen here.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests
from alpaca.common.rest import RESTClient
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

CONNECT_TIMEOUT_SECONDS = 3.05
READ_TIMEOUT_SECONDS = 10.0
BODY_TIMEOUT_SECONDS = 15.0
MAX_BODY_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_CONNECTIONS = 8

Client = TypeVar("Client", bound=RESTClient)
SessionFactory = Callable[[], requests.Session]


class BoundedAdapter(HTTPAdapter):
    """Sends each request once, with timeouts, and reads a body only so long and so far."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        super().__init__(max_retries=0, pool_connections=4, pool_maxsize=_CONNECTIONS)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Sends the request. Raises requests' Timeout or ConnectionError."""
        deadline = self._monotonic() + READ_TIMEOUT_SECONDS + BODY_TIMEOUT_SECONDS
        kwargs["timeout"] = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        response = super().send(request, *args, **kwargs)
        try:
            # A read timeout restarts with every byte, and `iter_content` waits for a whole chunk of them: a peer that
            # drips bytes would hold us for ever.
            content = bytearray()
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                content += chunk
                if self._monotonic() > deadline:
                    raise requests.exceptions.ReadTimeout("the answer's body came too slowly", request=request)
                if len(content) > MAX_BODY_BYTES:
                    raise requests.exceptions.ConnectionError("the answer's body is too long", request=request)
        except HTTPError as error:
            response.close()
            raise requests.exceptions.ConnectionError(error, request=request) from error
        except BaseException:
            response.close()
            raise
        response.close()
        # Where requests keeps a body that was read: alpaca-py then finds it complete.
        response._content = bytes(content)
        return response


def bounded_session() -> requests.Session:
    """A session whose every request is bounded in time and sent once."""
    session = requests.Session()
    session.mount("https://", BoundedAdapter())
    session.mount("http://", BoundedAdapter())
    return session


def hardened(client: Client, session: requests.Session) -> Client:
    """The client with our session and without its own retries."""
    client._session = session
    client._retry = 0
    client._retry_codes = []
    return client


def without_version(url: str) -> str:
    """The address as alpaca-py wants it: it adds the version itself."""
    return url.rstrip("/").removesuffix("/v2")
