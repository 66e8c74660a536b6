"""The objects that docs/how-to shows are taken by a real API server, in a namespace as the pages have it made."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import ApiServer, path_of

ROOT = Path(__file__).parents[2]


def documents() -> list[Any]:
    found = []
    for page in sorted((ROOT / "docs/how-to").glob("*.md")):
        for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            found += [pytest.param(one, id=f"{page.stem}: {one['kind']}") for one in yaml.safe_load_all(block)]
    return found


@pytest.mark.parametrize("document", documents())
def test_an_object_that_is_shown_is_taken(api: ApiServer, namespace: str, document: dict[str, Any]) -> None:
    """The namespace enforces Pod Security `restricted`, and the policies are in force."""
    asked = {"fieldValidation": "Strict", "dryRun": "All"}
    answer = api.request("POST", path_of(document["kind"], namespace), document, **asked)
    assert answer.document["kind"] == document["kind"]
