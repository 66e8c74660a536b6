"""A ValidationRun on a real node: the bot's image by its digest, the broker's bars, evidence, and files on a volume."""

from pathlib import Path

import yaml

from e2e.lab import Json, Lab, eventually

ROOT = Path(__file__).parents[2]
CLAIM = "validation-files"


def _claim(lab: Lab) -> None:
    metadata = {"name": CLAIM, "namespace": lab.namespace}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}
    lab.cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})


def _run(lab: Lab, bot: str, name: str) -> Json:
    uid = lab.get("tradingbot", bot)["metadata"]["uid"]
    spec = {"botRef": {"name": bot, "uid": uid}, "days": 250, "artifacts": {"claimName": CLAIM}}
    lab.apply("ValidationRun", name, spec=spec)

    def over() -> Json | None:
        run = lab.get("validationrun", name)
        if not run.get("status", {}).get("completedAt"):
            raise LookupError(run.get("status"))
        return run

    return eventually(over, f"ValidationRun {name} is over", 300)


def _passed(lab: Lab, bot: str, name: str) -> Json:
    """A check of the gate once it passes."""

    def look() -> Json:
        found: Json = next(one for one in lab.status(bot)["promotion"]["checklist"] if one["name"] == name)
        if found["state"] != "Pass":
            raise LookupError(found)
        return found

    return eventually(look, f"{name} passes", 60)


def test_a_validation_by_the_bots_own_image_becomes_evidence_and_leaves_its_files(lab: Lab) -> None:
    gate = yaml.safe_load((ROOT / "manifests/gates/standard.yaml").read_text())["spec"]
    lab.apply("PromotionGate", "validated", spec=gate)
    _claim(lab)
    # What a simulator's bars say counts for nobody but who wants to go live on a simulator.
    paper = lab.account()
    live = lab.get("brokeraccount", paper)["spec"] | {"environment": "live"}
    lab.apply("BrokerAccount", "live-simulator", spec=live)
    accounts = {"paper": paper, "live": "live-simulator"}
    bot = lab.bot("candidate", paper, timeframe="1Day", accounts=accounts, gateRef={"name": "validated"})
    lab.wait_for_condition(bot, "Ready", "True", timeout_seconds=120)
    run = _run(lab, bot, "first")
    conditions = {one["type"]: one for one in run["status"]["conditions"]}
    assert conditions["Complete"]["status"] == "True", conditions

    evidence = lab.get("promotionevidence", run["status"]["evidence"])["spec"]
    image = lab.get("pod", lab.pod(bot))["status"]["containerStatuses"][0]["imageID"]
    assert evidence["validation"]["codeDigest"] == image[image.index("sha256:") :]
    assert evidence["subjectDigest"] == lab.status(bot)["subjectDigest"]
    assert evidence["validation"]["causal"] is True

    assert _passed(lab, bot, "ValidationArtifacts")["evidenceRefs"] == [run["status"]["evidence"]]
