"""The command line says what is wrong, and knows its version."""

from typing import Any

import pytest
from typer.testing import CliRunner

from tradingbot_operator import app, logs
from tradingbot_operator.cli import cli
from tradingbot_operator.cluster.crd_versions import CrdsTooNewError
from tradingbot_operator.settings import Litestream, Settings

RUN = ["run", "--runtime-image", "image:1"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    found: list[Settings] = []

    async def run(settings: Settings) -> None:
        found.append(settings)

    monkeypatch.setattr(app, "run", run)
    monkeypatch.setattr(logs, "configure", lambda _: None)
    return found


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(cli, [*arguments], env=env)


def test_help_says_what_it_does_and_every_option() -> None:
    text = invoke("run", "--help", env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    for option in ("--runtime-image", "--namespace", "--standalone", "--leader-elect", "--report-poll-seconds"):
        assert option in text
    assert "TRADINGBOT_OPERATOR_<OPTION>" in text


def test_version() -> None:
    assert invoke("version").output.strip()[0].isdigit()


def test_options_reach_the_operator(started: list[Settings]) -> None:
    result = invoke(*RUN, "--standalone", "-n", "a,b", "-n", "b", "--log-level", "DEBUG", "--metrics-port", "9")
    assert result.exit_code == 0, result.output
    (settings,) = started
    assert (settings.namespaces, settings.log_level, settings.metrics_port) == (("a", "b"), "DEBUG", 9)


def test_a_replica_has_a_name_of_its_own_with_each_start(started: list[Settings]) -> None:
    for _ in range(2):
        env = {"POD_NAME": "operator-0"}
        assert invoke(*RUN, "-A", "--leader-elect", "--lease-namespace", "system", env=env).exit_code == 0
    first, second = (settings.election for settings in started)
    assert first is not None and second is not None
    assert (first.namespace, first.name) == ("system", "tradingbot-operator")
    assert first.identity.startswith("operator-0_") and first.identity != second.identity


def test_newer_crds_have_an_exit_code_of_their_own(monkeypatch: pytest.MonkeyPatch, started: list[Settings]) -> None:
    async def refuse(_: Settings) -> None:
        raise CrdsTooNewError("newer")

    monkeypatch.setattr(app, "run", refuse)
    assert invoke(*RUN, "-A", "--standalone").exit_code == 78


def test_the_environment_is_as_good(started: list[Settings]) -> None:
    env = {
        "TRADINGBOT_OPERATOR_RUNTIME_IMAGE": "image:2",
        "TRADINGBOT_OPERATOR_ALL_NAMESPACES": "true",
        "TRADINGBOT_OPERATOR_STANDALONE": "true",
        "POD_NAME": "operator-0",
    }
    assert invoke("run", env=env).exit_code == 0
    (settings,) = started
    assert (settings.runtime_image, settings.namespaces, settings.instance) == ("image:2", None, "operator-0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-A"], "either --leader-elect, or --standalone"),
        (["-A", "--standalone", "--leader-elect"], "either --leader-elect, or --standalone"),
        (["-A", "--leader-elect"], "--lease-namespace is needed outside of a cluster"),
        (["--standalone"], "say which bots"),
        (["--standalone", "-A", "-n", "x"], "say which bots"),
    ],
)
def test_what_is_missing_is_named(started: list[Settings], arguments: list[str], words: str) -> None:
    result = invoke(*RUN, *arguments)
    assert result.exit_code == 64
    assert words in result.output
    assert started == []


TO_A_BUCKET = (
    *("--litestream-url", "s3://bucket/prefix/"),
    *("--litestream-image", "litestream:1"),
    *("--litestream-credentials-secret", "keys"),
)


def test_states_are_streamed_where_a_bucket_is_named(started: list[Settings]) -> None:
    assert invoke(*RUN, "-A", "--standalone").exit_code == 0
    more = ("--litestream-endpoint", "http://minio:9000", "--litestream-resources", '{"limits": {"cpu": 1}}')
    assert invoke(*RUN, "-A", "--standalone", *TO_A_BUCKET, *more).exit_code == 0
    assert [one.litestream for one in started] == [
        None,
        Litestream("litestream:1", "s3://bucket/prefix", "keys", "http://minio:9000", limits={"cpu": "1"}),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--litestream-url": ""}, "--litestream-url: it has to be a bucket, as s3://BUCKET/PREFIX"),
        ({"--litestream-url": "file:///backups"}, "'file:///backups' is not a bucket"),
        ({"--litestream-url": "s3://bucket?endpoint=x"}, "is not a bucket"),
        ({"--litestream-credentials-secret": ""}, "--litestream-credentials-secret: it has to be the name of a Secret"),
        ({"--litestream-credentials-secret": "Keys"}, "'Keys' is not the name of a Secret"),
        ({"--litestream-image": ""}, "--litestream-image: it has to be an image"),
        ({"--litestream-endpoint": "minio:9000"}, "is not an address"),
        ({"--litestream-region": "eu central"}, "is not the name of a region"),
        ({"--litestream-resources": "lots"}, "--litestream-resources: it has to be JSON"),
        ({"--litestream-resources": '{"limits": {"cpu": "much"}}'}, "--litestream-resources: it has to be JSON"),
        ({"--litestream-resources": '{"limits": {"memmory": "1Gi"}}'}, "--litestream-resources: it has to be JSON"),
        ({"--litestream-resources": '{"limits": {"memory": "32Mi"}}'}, "of memory 64Mi are requested and 32Mi are"),
    ],
)
def test_a_bucket_that_cannot_be_streamed_to_is_said(
    started: list[Settings], changes: dict[str, str], words: str
) -> None:
    given = dict(zip(TO_A_BUCKET[::2], TO_A_BUCKET[1::2], strict=True)) | changes
    result = invoke(*RUN, "-A", "--standalone", *(part for option in given.items() for part in option))
    assert result.exit_code == 64
    assert words in result.output
    assert started == []
