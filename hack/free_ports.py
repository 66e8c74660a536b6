"""Ports for a process that has to be told one before it starts."""

import contextlib
import secrets
import socket

# Below what Linux gives to connections and to whoever binds port 0 (32768 and up), and below Kubernetes' NodePorts:
# between our look at a port and its owner's bind, no connection of anybody's can have taken it.
_FIRST, _AFTER_LAST = 20_000, 30_000
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, each given once by this process."""
    found: list[int] = []
    while len(found) < count:
        port = _FIRST + secrets.randbelow(_AFTER_LAST - _FIRST)
        if port not in _given and _is_free(port):
            found.append(port)
            _given.add(port)
    return found


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as probe:
        # As servers do, so that a port whose last connections are not forgotten yet counts as theirs would.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False
