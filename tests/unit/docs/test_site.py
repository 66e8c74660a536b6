"""The site has no dead link, no page that nobody finds, and asks nobody else for anything."""

from pathlib import Path

import pytest

import docs
import docs_diagrams
import docs_site

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert docs.build(folder) == []
    return folder


def pages(site: Path) -> list[Path]:
    found = sorted(site.rglob("*.html"))
    assert len(found) > 50
    return found


def test_no_page_has_a_browser_ask_a_third_party(site: Path) -> None:
    assert docs.third_parties(site) == []


def test_every_page_has_the_browser_itself_refuse_third_parties(site: Path) -> None:
    assert [page for page in pages(site) if docs_site.POLICY not in page.read_text(encoding="utf-8")] == []
    assert "default-src 'self'" in docs_site.POLICY
    assert "http" not in docs_site.POLICY.partition("content=")[2]


def test_what_the_theme_would_fetch_for_diagrams_is_never_asked_for(site: Path) -> None:
    assert [page for page in pages(site) if 'class="mermaid"' in page.read_text(encoding="utf-8")] == []


def test_every_page_of_the_documentation_is_on_the_site(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        there = page.relative_to(ROOT / "docs")
        made = there.parent if there.name == "README.md" else there.with_suffix("")
        assert (site / made / "index.html").exists(), there


def test_a_file_outside_of_the_documentation_comes_along(site: Path) -> None:
    carried = site / docs_site.CARRIED / "manifests/demo/momentum.yaml.txt"
    assert carried.read_text(encoding="utf-8") == (ROOT / "manifests/demo/momentum.yaml").read_text(encoding="utf-8")
    tutorial = (site / "tutorial/index.html").read_text(encoding="utf-8")
    assert 'href="../files/manifests/demo/momentum.yaml.txt"' in tutorial


@pytest.mark.parametrize(
    "page",
    [
        '<link href="https://fonts.example/css" rel="stylesheet">',
        '<script src="//cdn.example/a.js"></script>',
        '<img srcset="a.png 1x, https://cdn.example/b.png 2x">',
        '<iframe src="https://video.example">',
        '<link rel="preconnect" href="https://fonts.example" crossorigin>',
        '<pre class="mermaid"><code>flowchart LR</code></pre>',
    ],
)
def test_what_loads_from_elsewhere_is_found(page: str) -> None:
    assert docs.loaded_by(page)


@pytest.mark.parametrize(
    "page",
    [
        '<a href="https://alpaca.markets">Alpaca</a>',
        '<link rel="canonical" href="https://docs.example/">',
        '<script src="assets/a.js"></script><img src="data:image/png;base64,AA==">',
    ],
)
def test_what_only_links_elsewhere_is_no_fault(page: str) -> None:
    assert docs.loaded_by(page) == []


def test_a_style_sheet_that_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text(
        "@font-face { src: url('https://fonts.example/a.woff2') } b { background: url(c.png) }"
    )
    assert docs.third_parties(tmp_path) == ["a.css: loads https://fonts.example/a.woff2"]


def test_dead_links_missing_anchors_and_orphans_are_faults(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "README.md").write_text(
        "# Home\n\n[gone](gone.md) [no such place](other.md#nowhere) [outside](../../nothing/there.yaml)\n"
    )
    (folder / "other.md").write_text("# Other\n")
    (folder / "orphan.md").write_text("# Orphan\n")
    found = docs.build(tmp_path / "site", docs_dir=str(folder), nav=["README.md", "other.md", "missing.md"])
    said = "\n".join(found)
    for fault in ("gone.md", "#nowhere", "nothing/there.yaml", "orphan.md", "missing.md"):
        assert fault in said, said


def test_a_folder_of_the_navigation_that_is_empty_is_a_fault(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "README.md").write_text("# Home\n")
    found = docs.build(tmp_path / "site", docs_dir=str(folder), nav=["README.md", {"Runbooks": ["runbooks/"]}])
    assert any("runbooks/ holds no page" in fault for fault in found)


def test_a_diagram_is_shown_as_drawn_or_as_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs_site, "DIAGRAMS", tmp_path)
    source = 'flowchart LR\n  a["<b>"] --> b\n'
    assert "a[&quot;&lt;b&gt;&quot;]" in docs_site.diagram(source, "mermaid", "diagram", {}, None)
    (tmp_path / f"{docs_site.digest(source)}.svg").write_text("<svg/>")
    assert "<svg/>" in docs_site.diagram(source, "mermaid", "diagram", {}, None)
    assert "<svg/>" not in docs_site.diagram(source + "  b --> c\n", "mermaid", "diagram", {}, None)


def test_every_drawing_is_of_a_diagram_that_is_there_and_loads_nothing() -> None:
    drawn = {path.stem: path.read_text(encoding="utf-8") for path in docs_site.DIAGRAMS.glob("*.svg")}
    assert set(drawn) <= set(docs_diagrams.sources()), "run `hack/docs.py draw`, which removes what is of no diagram"
    for picture in drawn.values():
        assert docs.loaded_by(picture) == []
        assert "<script" not in picture and "@import" not in picture
