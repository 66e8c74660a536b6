"""The documentation: `generate` writes its reference, `draw` its diagrams, `build` makes the site, `check` judges it.

Must never pass a site with a dead link, a missing anchor, a page that the navigation leaves out, or a reference that is
not what the code says.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"
_LOADS: Final = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "object": ("data",),
    "embed": ("src",),
    "audio": ("src",),
    "video": ("src", "poster"),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
"""What a browser fetches by itself when it shows a page."""
_IN_STYLES: Final = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")


def main(arguments: list[str]) -> int:
    """One command; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description="The documentation: its reference and its site.")
    parser.add_argument("command", choices=["generate", "draw", "build", "check"])
    parser.add_argument("program", nargs="?", type=Path, help="of draw: Mermaid's build for browsers, a .js file")
    asked = parser.parse_args(arguments)
    command = asked.command
    if command == "generate":
        import docs_reference
        import docs_strategies

        for path in [*docs_reference.write(), *docs_strategies.write()]:
            print(path.relative_to(ROOT))
        return 0
    if command == "draw":
        import docs_diagrams

        if asked.program is None:
            parser.error("draw: name Mermaid's build for browsers")
        for path in docs_diagrams.draw(asked.program):
            print(path.relative_to(ROOT))
        return 0
    if command == "build":
        return _told(build(SITE))
    with tempfile.TemporaryDirectory() as folder:
        return _told([*stale_reference(), *build(Path(folder)), *third_parties(Path(folder))])


def _told(problems: list[str]) -> int:
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def stale_reference() -> list[str]:
    """Pages of the reference and of the strategies that are not what the CRDs, the programs and the models say."""
    import docs_reference
    import docs_strategies

    stale = [str(path.relative_to(ROOT)) for path in [*docs_reference.stale(), *docs_strategies.stale()]]
    return [f"not what the code says: {', '.join(stale)}. Run `make generate`."] if stale else []


def build(site: Path, **settings: Any) -> list[str]:
    """Makes the site in that folder; what MkDocs warns of, each of which is a fault here.

    `settings` take the place of those in mkdocs.yml.
    """
    # The theme's notice about its own future, which is no fault of a page.
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    from mkdocs.commands.build import build as build_site
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort, MkDocsException

    warnings = _Warnings()
    logger = logging.getLogger("mkdocs")
    logger.addHandler(warnings)
    try:
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(site), **settings)
        config.plugins.on_startup(command="build", dirty=False)
        build_site(config)
    except (Abort, MkDocsException) as error:
        return [*warnings.found, str(error)]
    finally:
        logger.removeHandler(warnings)
    return warnings.found


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


# No third party ------------------------------------------------------------------


def third_parties(site: Path) -> list[str]:
    """Where a page, or a style sheet of the site, has a browser ask another host for something."""
    found = []
    for page in sorted(site.rglob("*.html")):
        found += [
            f"{page.relative_to(site)}: loads {address}" for address in loaded_by(page.read_text(encoding="utf-8"))
        ]
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        found += [f"{sheet.relative_to(site)}: loads {one}" for one in _IN_STYLES.findall(text) if _is_outside(one)]
    return found


def loaded_by(page: str) -> list[str]:
    """Addresses on other hosts that a browser fetches for this page; what is only a link to click on is none."""
    reader = _Reader()
    reader.feed(page)
    return [address for address in reader.loads if _is_outside(address)]


def _is_outside(address: str) -> bool:
    return bool(urlsplit(address.strip()).netloc)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.loads += [part for part in self._fetched(tag, values) if part]

    def _fetched(self, tag: str, values: dict[str, str]) -> Iterator[str]:
        # A canonical address or the next page is named, not fetched.
        if tag == "link" and set(values.get("rel", "").split()) - {"canonical", "prev", "next", "alternate"}:
            yield values.get("href", "")
        for name in _LOADS.get(tag, ()):
            yield from values.get(name, "").split() if name == "srcset" else [values.get(name, "")]
        if "mermaid" in values.get("class", "").split():
            # The theme would fetch the drawing program from elsewhere.
            yield "https://unpkg.com/mermaid"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
