"""One HTTP request to the API server: authentication, a timeout, and errors named for what they mean.

The one place that knows which answers are worth another try. Must never retry by itself: the work queue does.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from tradingbot_operator.cluster.resources import Resource
from tradingbot_operator.metrics import API_CALLS, API_SECONDS

REQUEST_TIMEOUT_SECONDS: Final = 15.0
LIST_TIMEOUT_SECONDS: Final = 60.0
LIST_PAGE: Final = 500
APPLY_PATCH: Final = "application/apply-patch+yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


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
    return configuration


async def authorization(configuration: Configuration) -> str:
    """The Authorization header's value now, or an empty string; a ServiceAccount's token is replaced every hour."""
    settings: Any = await configuration.auth_settings()
    return str(settings.get("BearerToken", {}).get("value") or "")


class Connection:
    """Requests to one API server with one identity."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        # Any: the client's own methods carry no types.
        self._client: Any = ApiClient(configuration)
        self._client.user_agent = "tradingbot-operator"

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Reads one object."""
        return await self._request("GET", resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        metadata_only: bool = False,
    ) -> list[dict[str, Any]]:
        """Reads a whole collection in pages."""
        items: list[dict[str, Any]] = []
        query = {"limit": str(LIST_PAGE)}
        if label_selector:
            query["labelSelector"] = label_selector
        while True:
            page = await self._request(
                "GET",
                resource.path(namespace),
                query=query,
                accept=_METADATA_LIST if metadata_only else "application/json",
                timeout_seconds=LIST_TIMEOUT_SECONDS,
            )
            # The items of a list carry neither of these themselves.
            named = {"apiVersion": resource.api_version, "kind": resource.kind}
            items += [{**named, **item} for item in page.get("items") or []]
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items
            query["continue"] = metadata["continue"]

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates an object."""
        return await self._request("POST", resource.path(namespace), body=body)

    async def apply(
        self, resource: Resource, body: Mapping[str, Any], *, manager: str, subresource: str = ""
    ) -> dict[str, Any]:
        """Server-side apply; fields that others own are taken over."""
        metadata = body["metadata"]
        return await self._request(
            "PATCH",
            resource.path(metadata["namespace"], metadata["name"], subresource),
            query={"fieldManager": manager, "force": "true"},
            body=body,
            content_type=APPLY_PATCH,
        )

    async def merge(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, manager: str
    ) -> dict[str, Any]:
        """A JSON merge patch: lists are replaced whole."""
        return await self._request(
            "PATCH",
            resource.path(namespace, name),
            query={"fieldManager": manager},
            body=body,
            content_type=MERGE_PATCH,
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
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        headers = {"Accept": accept, "Content-Type": content_type}
        if header := await authorization(self.configuration):
            headers["Authorization"] = header
        url = f"{self.configuration.host}{path}"
        if query:
            url = f"{url}?{urlencode(query)}"
        code, content = await self._exchange(method, url, headers, body, timeout_seconds)
        if 200 <= code < 300:
            return _decoded(content)
        raise _error(code, f"{method} {path}", content)

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Mapping[str, Any] | None,
        timeout_seconds: float,
    ) -> tuple[int, bytes]:
        started = time.monotonic()
        code = "error"
        try:
            response = await self._client.call_api(
                method,
                url,
                header_params={**self._client.default_headers, **headers},
                body=body,
                _request_timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            )
            content = await response.read()
            code = str(response.status)
            return int(response.status), content
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"{method} {url}: {type(error).__name__}: {error}") from error
        finally:
            API_CALLS.labels(verb=method, code=code).inc()
            API_SECONDS.labels(verb=method).observe(time.monotonic() - started)


def _decoded(content: bytes) -> dict[str, Any]:
    decoded = json.loads(content)
    return decoded if isinstance(decoded, dict) else {}


def _error(code: int, what: str, content: bytes) -> ApiError:
    status = _status(content)
    message = str(status.get("message") or f"{what} was answered with {code}")
    if code in (404, 410) or (code == 403 and _is_namespace_ending(status)):
        return NotFoundError(message, code)
    if code == 409:
        return ConflictError(message, code)
    if code in (400, 403, 405, 413, 415, 422):
        return RefusedError(message, code)
    details = status.get("details") or {}
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    return UnavailableError(message, code, float(seconds) if isinstance(seconds, int) else None)


def _is_namespace_ending(status: Mapping[str, Any]) -> bool:
    causes = (status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def _status(content: bytes) -> dict[str, Any]:
    try:
        return _decoded(content)
    except ValueError:
        return {}
