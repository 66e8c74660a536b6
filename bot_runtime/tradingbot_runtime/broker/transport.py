"""HTTP for alpaca-py with what it lacks: timeouts, a limit on slow and long answers, and no retries at all.

alpaca-py sends a request again on 429 and 504, orders included, and waits for ever; neither may happen here.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import requests
from alpaca.common.rest import RESTClient
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError

from tradingbot_runtime.broker.sockets import with_timed_connections

CONNECT_TIMEOUT_SECONDS = 3.05
READ_TIMEOUT_SECONDS = 10.0
"""From the last byte of a request to the end of its answer's header."""
MAX_BODY_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_CONNECTIONS = 8

Client = TypeVar("Client", bound=RESTClient)
SessionFactory = Callable[[], requests.Session]


class BoundedAdapter(HTTPAdapter):
    """Sends each request once, with timeouts, and reads an answer only so long and so far."""

    def __init__(self) -> None:
        super().__init__(max_retries=0, pool_connections=4, pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by the base class."""
        super().init_poolmanager(*args, **kwargs)
        with_timed_connections(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Called by the base class."""
        manager = super().proxy_manager_for(*args, **kwargs)
        with_timed_connections(manager)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Sends the request. Raises requests' Timeout or ConnectionError."""
        kwargs["timeout"] = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        response = super().send(request, *args, **kwargs)
        try:
            content = bytearray()
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                content += chunk
                if len(content) > MAX_BODY_BYTES:
                    raise requests.exceptions.ConnectionError("the answer's body is too long", request=request)
        except ReadTimeoutError as error:
            raise requests.exceptions.ReadTimeout("the answer's body came too slowly", request=request) from error
        except HTTPError as error:
            raise requests.exceptions.ConnectionError(error, request=request) from error
        finally:
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
