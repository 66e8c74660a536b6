"""The examples of the built-in strategies, on a real API server."""

from pathlib import Path

import pytest
import yaml
from api_server import ApiServer

EXAMPLES = sorted((Path(__file__).parents[2] / "examples/strategies").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted_as_it_is(api: ApiServer, namespace: str, path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    answer = api.apply(document, namespace)
    assert not answer.warning
    strategy = answer.document["spec"]["strategy"]
    assert strategy == document["spec"]["strategy"]  # nothing of its parameters is pruned
    assert strategy["name"] == path.stem


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 6
