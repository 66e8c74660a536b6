"""The CRDs in the repository are what the models say, and are schemas that an API server takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from tradingbot_api.crd import RESOURCES, Column, custom_resource_definition, structural_schema, write
from tradingbot_api.model import ApiModel
from tradingbot_operator.plan import verdicts

CRDS = Path(__file__).parents[3] / "crds"


def test_the_files_are_up_to_date(tmp_path: Path) -> None:
    for path in write(tmp_path / "new"):
        assert path.read_text() == (CRDS / path.name).read_text(), f"run `make generate`: {path.name} has drifted"


def test_the_kustomization_names_every_file() -> None:
    listed = yaml.safe_load((CRDS / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in CRDS.glob("tradingbots.dev_*.yaml"))


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}.*")


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_the_schema_is_structural_and_bounded(resource: Any) -> None:
    for part in filter(None, (resource.spec, resource.status)):
        for path, node in nodes(structural_schema(part)):
            assert not node.keys() & {"$ref", "anyOf", "allOf", "title", "$defs", "const"}, path
            assert "type" in node or node.get("x-kubernetes-int-or-string"), path
            if node.get("type") == "array":
                assert "maxItems" in node, path


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_field_of_the_spec_is_described_and_every_rule_says_what_to_do(resource: Any) -> None:
    for path, node in nodes(structural_schema(resource.spec)):
        assert node.get("description") or not path or path.endswith((".*", "[]")) or "tolerations" in path, path
        for rule in node.get("x-kubernetes-validations", []):
            assert len(rule["message"]) > 20, path


def test_the_columns_show_conditions_that_exist() -> None:
    bot = custom_resource_definition(RESOURCES[0])["spec"]["versions"][0]
    paths = {column["name"]: column["jsonPath"] for column in bot["additionalPrinterColumns"]}
    assert f'"{verdicts.READY}"' in paths["Ready"]
    assert f'"{verdicts.KILLED}"' in paths["Killed"]
    assert Column("A", ".a").priority == 0


class Either(ApiModel):
    """No structural schema can say this."""

    value: int | list[str]


def test_what_no_structural_schema_can_say_is_refused() -> None:
    with pytest.raises(ValueError, match="anyOf"):
        structural_schema(Either)


def test_a_bound_that_excludes_its_value_is_written_as_an_api_server_reads_it() -> None:
    class Bounded(ApiModel):
        seconds: Annotated[float, Field(gt=0)]

    schema = structural_schema(Bounded)["properties"]["seconds"]
    assert (schema["minimum"], schema["exclusiveMinimum"]) == (0, True)
