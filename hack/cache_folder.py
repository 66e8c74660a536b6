"""Where what is built once and kept is, by the same rule as in hack/cluster/cluster.sh."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder, which need not be there yet; programs are in its `bin`."""
    if named := environment.get("TRADINGBOT_CACHE"):
        return Path(named).absolute()
    if caches := environment.get("XDG_CACHE_HOME"):
        return Path(caches).absolute() / "tradingbot-operator"
    return Path.home() / ".cache" / "tradingbot-operator"
