"""The site's hook: whole folders in the navigation, files from outside of docs/, drawn diagrams, and no third party.

MkDocs loads it by the name in mkdocs.yml. Must never change what a page says, nor let a page load what is not of the
site: each page carries a policy that has the browser itself refuse it.
"""

from __future__ import annotations

import hashlib
import html
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DIAGRAMS = ROOT / "docs/diagrams"
CARRIED: Final = "files"
"""Where in the site the files are that pages link to and that are not in docs/."""
POLICY: Final = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'self'; img-src 'self' data:;"
    " script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'\">"
)
_OUTSIDE = re.compile(r"(\]\()((?:\.\./)+[^)\s#]+)((?:#[^)\s]*)?\))")
_MOST_CARRIED_BYTES: Final = 1_000_000


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Whole folders in `nav`, and diagrams."""
    nav = config.nav or []
    config.nav = _expanded(nav, Path(config.docs_dir), frozenset(_named(nav)))
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {})
    fences["custom_fences"] = [{"name": "mermaid", "class": "diagram", "format": diagram}]
    return config


def _named(items: list[Any]) -> Iterator[str]:
    """Every page that the navigation names."""
    for item in items:
        for below in item.values() if isinstance(item, dict) else (item,):
            yield from _named(below) if isinstance(below, list) else [below]


def _expanded(items: list[Any], docs: Path, named: frozenset[str]) -> list[Any]:
    """`runbooks/` becomes those of its pages that are named nowhere, README first."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, dict):
            parts = item.items()
            found += [{name: _expanded(to, docs, named) if isinstance(to, list) else to for name, to in parts}]
        elif item.endswith("/"):
            pages = sorted((docs / item).glob("*.md"), key=lambda path: (path.name != "README.md", path.name))
            if not pages:
                raise PluginError(f"nav: docs/{item} holds no page")
            found += [page for page in (item + path.name for path in pages) if page not in named]
        else:
            found.append(item)
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what pages link to outside of docs/, as text that a browser shows."""
    carried = set()
    for page in files.documentation_pages():
        for target in _outside_of(page.content_string, page.src_uri):
            carried.add(target)
    for target in sorted(carried):
        files.append(File.generated(config, _carried_uri(target), content=_content(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Leads links to files outside of docs/ to where they are on the site; the anchors of such go."""
    here = posixpath.dirname(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        target = _target(match[2], page.file.src_uri)
        return match[0] if target is None else f"{match[1]}{posixpath.relpath(_carried_uri(target), here or '.')})"

    return _OUTSIDE.sub(led, markdown)


def _outside_of(markdown: str, uri: str) -> Iterator[str]:
    for match in _OUTSIDE.finditer(markdown):
        if (target := _target(match[2], uri)) is not None:
            yield target


def _target(link: str, uri: str) -> str | None:
    """The path from the repository's root of something that is there and not in docs/; else None."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(uri), link))
    is_outside = not path.startswith(("docs/", "../")) and path != "docs"
    return path if is_outside and (ROOT / path).exists() else None


def _carried_uri(target: str) -> str:
    return f"{CARRIED}/{target}.txt"


def _content(path: Path) -> str:
    """A file; of a folder its files, one after the other."""
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        parts = [f"# {one.name}\n{one.read_text(encoding='utf-8')}" for one in sorted(path.iterdir()) if one.is_file()]
        text = "\n".join(parts)
    if len(text) > _MOST_CARRIED_BYTES:
        raise PluginError(f"{path} is too large for the site: link to something smaller")
    return text


def diagram(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """A Mermaid block as the picture that was drawn of it; as its source where none was drawn yet."""
    drawn = DIAGRAMS / f"{digest(source)}.svg"
    if drawn.exists():
        style = "background: white; border-radius: 4px; padding: 8px; overflow-x: auto"
        return f'<div class="{css_class}" style="{style}">{drawn.read_text(encoding="utf-8")}</div>'
    return f"<pre><code>{html.escape(source)}</code></pre>"


def digest(source: str) -> str:
    """Names the picture of a diagram: of another source it is another picture."""
    return hashlib.sha256(source.strip().encode()).hexdigest()[:12]


def on_post_template(output: str, template_name: str, **_: Any) -> str:
    """The same for what is no page of ours, such as the one that says that there is none."""
    return on_post_page(output) if template_name.endswith(".html") else output


def on_post_page(output: str, **_: Any) -> str:
    """Has the browser refuse whatever is not of this site."""
    if "<head>" not in output:
        raise PluginError("a page without a head: its policy has no place")
    return output.replace("<head>", f"<head>\n{POLICY}", 1)
