"""Draws the Mermaid diagrams of docs/ into docs/diagrams, so that the site needs no program in the reader's browser.

`python hack/docs.py draw MERMAID.js`, with Mermaid's own browser build (npm: @mermaid-js/tiny) and Chromium. Must never
leave a picture of a diagram that is not there any more. A diagram that is not drawn is shown as its source.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from docs_site import DIAGRAMS, ROOT, digest

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_DRAW_SECONDS: Final = 120
_PAGE: Final = """<!doctype html><meta charset="utf-8"><body><script>%(program)s</script><script>
const sources = %(sources)s;
mermaid.initialize({startOnLoad: false, securityLevel: "strict", theme: "neutral", htmlLabels: false,
  flowchart: {htmlLabels: false, useMaxWidth: true}, fontFamily: "sans-serif"});
(async () => {
  for (const [name, source] of Object.entries(sources)) {
    const drawn = await mermaid.render("d" + name, source);
    const kept = document.createElement("script");
    kept.type = "text/plain";
    kept.id = "drawn-" + name;
    kept.textContent = btoa(unescape(encodeURIComponent(drawn.svg)));
    document.body.append(kept);
  }
})();
</script></body>"""
_DRAWN: Final = re.compile(r'<script type="text/plain" id="drawn-(?P<name>\w+)">(?P<picture>[^<]*)</script>')


class CannotDrawError(Exception):
    """A diagram was not drawn; the message says why."""


def sources() -> dict[str, str]:
    """Every diagram of the documentation, by the name of its picture."""
    texts = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md")))
    return {digest(block): block for text in texts for block in diagrams_of(text)}


def diagrams_of(markdown: str) -> Iterable[str]:
    """The sources of the diagrams on a page."""
    return re.findall(r"^```mermaid\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)


def draw(program: Path) -> list[Path]:
    """Draws what is not drawn yet and removes what is of no diagram; the files that changed."""
    wanted = sources()
    gone = [path for path in DIAGRAMS.glob("*.svg") if path.stem not in wanted]
    for path in gone:
        path.unlink()
    missing = {name: source for name, source in wanted.items() if not (DIAGRAMS / f"{name}.svg").exists()}
    if not missing:
        return gone
    DIAGRAMS.mkdir(exist_ok=True)
    made = _drawn(program, missing)
    for name, picture in made.items():
        (DIAGRAMS / f"{name}.svg").write_text(picture + "\n", encoding="utf-8")
    if missing.keys() - made.keys():
        raise CannotDrawError(f"not drawn: {', '.join(sorted(missing.keys() - made.keys()))}: is each of them right?")
    return [*gone, *(DIAGRAMS / f"{name}.svg" for name in made)]


def _drawn(program: Path, wanted: dict[str, str]) -> dict[str, str]:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise CannotDrawError(f"there is no {', '.join(BROWSERS)} on PATH")
    text = program.read_text(encoding="utf-8").replace("</script", "<\\/script")
    page = _PAGE % {"program": text, "sources": json.dumps(wanted).replace("</", "<\\/")}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
        done = subprocess.run(
            [*command, f"--user-data-dir={folder}/profile", file.as_uri()],
            capture_output=True,
            text=True,
            timeout=_DRAW_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise CannotDrawError(f"{browser} ended with {done.returncode}: {done.stderr[-500:]}")
    drawn = _DRAWN.finditer(done.stdout)
    return {one["name"]: base64.b64decode(html.unescape(one["picture"])).decode() for one in drawn}
