"""The page for a person at `/admin`: one HTML document with nothing from anywhere else.

Built once from its three parts; what clients sent is never part of it, the page asks for that as JSON.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files

from alpaca_simulator.api.messages import Response


@lru_cache(maxsize=1)
def page_response() -> Response:
    """The page. Its policy lets no script and no style but its own run, nor anything be loaded."""
    part = files("alpaca_simulator.api").joinpath("admin_page")
    style, script = part.joinpath("page.css").read_text("utf-8"), part.joinpath("page.js").read_text("utf-8")
    html = part.joinpath("page.html").read_text("utf-8")
    body = html.replace("/*style*/", style).replace("/*script*/", script)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_source(style)}",
            f"script-src {_source(script)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    headers = {
        "Content-Type": "text/html; charset=UTF-8",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Response(200, body.encode(), headers)


def _source(text: str) -> str:
    """A part of the page as the policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
