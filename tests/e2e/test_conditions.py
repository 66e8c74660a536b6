"""Each thing that can be wrong with a bot is a condition that names it, and `kubectl describe` shows it."""

from e2e.lab import Lab, eventually


def _describe(lab: Lab, bot: str) -> str:
    return lab.kubectl("describe", "bot", bot)


def test_a_missing_account(lab: Lab) -> None:
    bot = lab.bot("no-account", "nowhere")
    condition = lab.wait_for_condition(bot, "Ready", "False", "AccountNotFound")
    assert "nowhere" in condition["message"]
    assert "AccountNotFound" in _describe(lab, bot)
    assert not lab.exists("pod", lab.pod(bot))


def test_a_missing_secret(lab: Lab) -> None:
    lab.apply(
        "BrokerAccount",
        "keyless",
        spec={
            "provider": "simulator",
            "environment": "paper",
            "baseURL": "http://simulator:8080",
            "credentialsSecretRef": {"name": "no-such-secret"},
        },
    )
    bot = lab.bot("no-secret", "keyless")
    condition = lab.wait_for_condition(bot, "Ready", "False", "SecretNotFound", timeout_seconds=300)
    assert "no-such-secret" in condition["message"]
    assert "no-such-secret" in _describe(lab, bot)


def test_a_bad_strategy_parameter_and_its_repair(lab: Lab) -> None:
    account = lab.account()
    bot = lab.bot("typo", account, strategy={"name": "momentum", "parameters": {"lookback": 1}})
    condition = lab.wait_for_condition(bot, "Ready", "False", "InvalidStrategyParameters", timeout_seconds=300)
    assert "spec.strategy.parameters.lookback" in condition["message"]
    assert "spec.strategy.parameters.lookback" in _describe(lab, bot)
    lab.bot(bot, account, strategy={"name": "momentum", "parameters": {"lookback": 5}})
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=300)


def test_an_image_that_cannot_be_pulled(lab: Lab) -> None:
    bot = lab.bot("no-image", lab.account(), image="localhost/no-such-image:1", imagePullPolicy="Never")
    condition = lab.wait_for_condition(bot, "Ready", "False", "ImagePullFailed", timeout_seconds=300)
    assert "localhost/no-such-image:1" in condition["message"]


def test_two_bots_that_want_one_symbol(lab: Lab) -> None:
    account = lab.account()
    elder = lab.bot("elder", account, symbols=["AAPL", "MSFT"])
    eventually(lambda: lab.exists("statefulset", f"{elder}-bot"), "the elder has its StatefulSet")
    eventually(
        lambda: lab.age_seconds(elder) >= 1, "the API server's clock, which counts seconds, tells them apart", 10
    )
    younger = lab.bot("younger", account, symbols=["MSFT", "NVDA"])
    condition = lab.wait_for_condition(younger, "SymbolConflict", "True")
    assert elder in condition["message"] and "MSFT" in condition["message"]
    assert not lab.exists("pod", lab.pod(younger))
    lab.wait_for_condition(elder, "SymbolConflict", "False")
    lab.kubectl("delete", "bot", elder)
    lab.wait_for_condition(younger, "SymbolConflict", "False")
    lab.wait_for_condition(younger, "Ready", "True", timeout_seconds=300)
