"""One HTTP request to the API server: authentication, a timeout, and errors named for what they mean.

The one place that knows which answers are worth another try. Must never retry by itself: the work queue does.
Must never send a write that has not passed the gate.
"""

import builtins
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import getproxies

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from structlog.contextvars import get_contextvars

from tradingbot_operator.cluster.resources import Resource
from tradingbot_operator.cluster.version_lists import ACCEPTED, VersionPage, read_page
from tradingbot_operator.cluster.write_gate import WriteGate
from tradingbot_operator.metrics import API_CALLS, API_SECONDS

READ_TIMEOUT_SECONDS: Final = 15.0
WRITE_TIMEOUT_SECONDS: Final = 5.0
"""Shorter than what is left of a lease after the last moment at which a write may be sent."""
LIST_TIMEOUT_SECONDS: Final = 60.0
LIST_PAGE: Final = 100
"""More at once as objects leave holes in the memory that no sweep gives back: 148 MiB for 1,000 bots, not 111."""
VERSIONS_PAGE: Final = 500
DEFAULT_PAUSE_SECONDS: Final = 1.0
"""After a 429 that does not say how long to wait."""
APPLY_PATCH: Final = "application/apply-patch+yaml; charset=utf-8"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_USER_AGENT: Final = f"tradingbot-operator/{version('tradingbot-operator')}"


# The client's loaders carry no types.
_load_in_cluster: Callable[..., None] = load_incluster_config
_load_kubeconfig: Callable[..., Awaitable[None]] = load_kube_config


class ApiError(Exception):
    """A request that the API server did not carry out."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class NotFoundError(ApiError):
    """404, 410: the object, its kind or its namespace is not there, or is about to go."""


class ConflictError(ApiError):
    """409: somebody else was first; look again and decide again."""


class RefusedError(ApiError):
    """400, 403, 413, 422: the same request would be refused again; a person has to change something."""


class UnavailableError(ApiError):
    """Timeouts, lost connections, 401, 429, 5xx: the same request may work later."""

    def __init__(self, message: str, code: int = 0, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, code)
        self.retry_after_seconds = retry_after_seconds


async def load_configuration() -> Configuration:
    """In-cluster credentials where they are, else KUBECONFIG."""
    configuration = Configuration()
    try:
        _load_in_cluster(client_configuration=configuration)
    except ConfigException:
        await _load_kubeconfig(client_configuration=configuration)
    configuration.connection_pool_maxsize = 64
    # Without a proxy there is nothing to look for in the environment, which aiohttp does in a thread, each request.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    return configuration


async def authorization(configuration: Configuration) -> str:
    """The Authorization header's value now, or an empty string; a ServiceAccount's token is replaced every hour."""
    settings: Any = await configuration.auth_settings()
    return str(settings.get("BearerToken", {}).get("value") or "")


class Connection:
    """Requests to one API server with one identity. Without a `gate` writes are sent as they come."""

    def __init__(
        self,
        configuration: Configuration,
        gate: WriteGate | None = None,
        *,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        write_timeout_seconds: float = WRITE_TIMEOUT_SECONDS,
    ) -> None:
        self.configuration = configuration
        self._gate = gate
        self._read_timeout_seconds = read_timeout_seconds
        self._write_timeout_seconds = write_timeout_seconds
        # Any: the client's own methods carry no types.
        self._client: Any = ApiClient(configuration)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        """Reads one object."""
        return _decoded(await self._request("GET", resource.path(namespace, name)))

    async def get_metadata(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        """Reads an object's metadata only."""
        return _decoded(await self._request("GET", resource.path(namespace, name), accept=_METADATA))

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
    ) -> list[dict[str, Any]]:
        """Reads a whole collection, page by page."""
        return [
            item
            async for _, items in self.pages(resource, namespace=namespace, label_selector=label_selector)
            for item in items
        ]

    async def pages(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
    ) -> AsyncIterator[tuple[str, builtins.list[dict[str, Any]]]]:
        """A collection's pages with the version that all of them are of: at no time is the whole of it in memory."""
        query = _list_query(label_selector, LIST_PAGE)
        while True:
            page = _decoded(
                await self._request("GET", resource.path(namespace), query=query, timeout_seconds=LIST_TIMEOUT_SECONDS)
            )
            # The items of a list carry neither of these themselves.
            named = {"apiVersion": resource.api_version, "kind": resource.kind}
            metadata = page.get("metadata") or {}
            yield str(metadata.get("resourceVersion", "")), [{**named, **item} for item in page.get("items") or []]
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def versions(
        self, resource: Resource, *, namespace: str | None = None, label_selector: str = ""
    ) -> AsyncIterator[VersionPage]:
        """A collection's pages with no more of each object than its name and version."""
        query, path = _list_query(label_selector, VERSIONS_PAGE), resource.path(namespace)
        while True:
            content = await self._request(
                "GET", path, query=query, accept=ACCEPTED, timeout_seconds=LIST_TIMEOUT_SECONDS
            )
            try:
                page = read_page(content)
            except ValueError as error:
                raise UnavailableError(f"GET {path}: {error}") from error
            yield page
            if not page.next_page:
                return
            query["continue"] = page.next_page

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        label_selector: str,
        version: str,
        seconds: int,
        limit_seconds: float,
    ) -> AsyncIterator[bytes]:
        """What the API server tells of changes after a version, as it comes; it ends by itself after `seconds`.

        Raises ApiError, also where it has not ended after `limit_seconds`.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
            **({"labelSelector": label_selector} if label_selector else {}),
        }
        path = resource.path(namespace)
        headers = {"Accept": "application/json", "User-Agent": _USER_AGENT}
        if header := await authorization(self.configuration):
            headers["Authorization"] = header
        try:
            answer = await self._client.call_api(
                "GET",
                f"{self.configuration.host}{path}?{urlencode(query)}",
                header_params=headers,
                _request_timeout=aiohttp.ClientTimeout(total=limit_seconds),
            )
            response: aiohttp.ClientResponse = answer.response
            async with response:
                if response.status != 200:
                    raise _error(response.status, f"watch {path}", await response.read())
                async for chunk in response.content.iter_any():
                    yield chunk
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"watch {path}: {type(error).__name__}: {error}") from error

    async def create(
        self, resource: Resource, namespace: str, body: Mapping[str, Any], *, manager: str | None = None
    ) -> dict[str, Any]:
        """Creates an object. With a `manager` its fields are that one's, and a field that nobody knows is refused."""
        query = {"fieldManager": manager, "fieldValidation": "Strict"} if manager is not None else None
        return _decoded(await self._request("POST", resource.path(namespace), query=query, body=body))

    async def replace(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces an object; with a resourceVersion only where nobody wrote since."""
        return _decoded(await self._request("PUT", resource.path(namespace, name), body=body))

    async def apply(
        self, resource: Resource, body: Mapping[str, Any], *, manager: str, subresource: str = ""
    ) -> dict[str, Any]:
        """Server-side apply; fields that others own are taken over."""
        metadata = body["metadata"]
        return _decoded(
            await self._request(
                "PATCH",
                resource.path(metadata["namespace"], metadata["name"], subresource),
                query={"fieldManager": manager, "force": "true"},
                body=body,
                content_type=APPLY_PATCH,
            )
        )

    async def merge(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, manager: str
    ) -> dict[str, Any]:
        """A JSON merge patch: lists are replaced whole."""
        return _decoded(
            await self._request(
                "PATCH",
                resource.path(namespace, name),
                query={"fieldManager": manager},
                body=body,
                content_type=MERGE_PATCH,
            )
        )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        manager: str,
        subresource: str = "",
    ) -> dict[str, Any]:
        """A JSON patch; an operation that replaces /metadata/resourceVersion makes it a conflict where that differs."""
        return _decoded(
            await self._request(
                "PATCH",
                resource.path(namespace, name, subresource),
                query={"fieldManager": manager},
                # A list: the client takes anything else for a merge patch.
                body=list(operations),
                content_type=JSON_PATCH,
            )
        )

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        """Deletes this very object and lets the garbage collector take what it owns."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        await self._request("DELETE", resource.path(namespace, name), body=body)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_seconds: float | None = None,
    ) -> bytes:
        is_write = method != "GET"
        if is_write and self._gate is not None:
            await self._gate.turn()
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": _user_agent()}
        if header := await authorization(self.configuration):
            headers["Authorization"] = header
        limit_seconds = timeout_seconds or (self._write_timeout_seconds if is_write else self._read_timeout_seconds)
        # The API server gives up a write when we do: it is not carried out later.
        options = {**(query or {}), **({"timeout": f"{limit_seconds:g}s"} if is_write else {})}
        url = f"{self.configuration.host}{path}" + (f"?{urlencode(options)}" if options else "")
        code, content, header_seconds = await self._exchange(method, url, headers, body, limit_seconds)
        if 200 <= code < 300:
            return content
        error = _error(code, f"{method} {path}", content, header_seconds)
        if code == 429 and self._gate is not None and isinstance(error, UnavailableError):
            self._gate.pause(error.retry_after_seconds or DEFAULT_PAUSE_SECONDS)
        raise error

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        timeout_seconds: float,
    ) -> tuple[int, bytes, float | None]:
        started = time.monotonic()
        code = "error"
        if method != "GET" and self._gate is not None:
            self._gate.check_fence()
        try:
            response = await self._client.call_api(
                method,
                url,
                header_params={**self._client.default_headers, **headers},
                body=_as_yaml(body) if headers["Content-Type"] == APPLY_PATCH else body,
                _request_timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            )
            content = await response.read()
            code = str(response.status)
            return int(response.status), content, _seconds(response.getheader("Retry-After"))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"{method} {url}: {type(error).__name__}: {error}") from error
        finally:
            API_CALLS.labels(verb=method, resource=_plural(url, self.configuration.host), code=code).inc()
            API_SECONDS.labels(verb=method).observe(time.monotonic() - started)


def _list_query(label_selector: str, limit: int) -> dict[str, str]:
    return {"limit": str(limit), **({"labelSelector": label_selector} if label_selector else {})}


def _user_agent() -> str:
    # The API server's audit log carries it: which look of which operator wrote something.
    look = get_contextvars().get("reconcile")
    return f"{_USER_AGENT} reconcile/{look}" if look else _USER_AGENT


def _plural(url: str, host: str) -> str:
    parts = url.removeprefix(host).partition("?")[0].split("/")
    rest = parts[3:] if parts[1:2] == ["api"] else parts[4:]
    return rest[2] if rest[:1] == ["namespaces"] and len(rest) > 2 else "".join(rest[:1])


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isdecimal() else None


def _decoded(content: bytes) -> dict[str, Any]:
    decoded = json.loads(content)
    return decoded if isinstance(decoded, dict) else {}


def _as_yaml(body: object) -> str:
    """JSON that YAML reads the same: it knows no surrogate pairs, and folds some characters that are not escaped."""
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(body, ensure_ascii=False))


_UNTYPED: Final = ("failed to create typed patch object", "failed to convert new object")
"""Server-side apply's words for a field of the wrong type. They come as 500, and come again every time."""


def _error(code: int, what: str, content: bytes, retry_after_seconds: float | None = None) -> ApiError:
    status = _status(content)
    message = str(status.get("message") or f"{what} was answered with {code}")
    if code in (404, 410) or (code == 403 and _is_namespace_ending(status)):
        return NotFoundError(message, code)
    if code == 409:
        return ConflictError(message, code)
    if code in (400, 403, 405, 413, 415, 422) or (code == 500 and message.startswith(_UNTYPED)):
        return RefusedError(message, code)
    details = status.get("details") or {}
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    # Priority and fairness refuses in plain text, with the header only.
    return UnavailableError(message, code, float(seconds) if isinstance(seconds, int) else retry_after_seconds)


def _is_namespace_ending(status: Mapping[str, Any]) -> bool:
    causes = (status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def _status(content: bytes) -> dict[str, Any]:
    try:
        return _decoded(content)
    except ValueError:
        return {}
