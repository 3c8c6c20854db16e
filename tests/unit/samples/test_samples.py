"""The samples: valid by the models, in step with the fields, and harmless in what they hold."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from condorpool_operator.api.crd import model_schema
from condorpool_operator.api.placement import Placement
from condorpool_operator.api.v1alpha1 import API_VERSION, KIND, CondorPoolSpec
from condorpool_operator.pool import Pool
from condorpool_operator.references import check_keys, check_password, referenced

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def pools(path: Path) -> list[dict[str, Any]]:
    return [document for document in documents(path) if document["kind"] == KIND]


@pytest.fixture(params=SAMPLES, ids=lambda path: path.name)
def sample(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_pool_is_valid(sample: Path) -> None:
    (pool,) = pools(sample)
    assert pool["apiVersion"] == API_VERSION
    CondorPoolSpec.model_validate(pool["spec"])


def test_pool_is_called_after_its_file(sample: Path) -> None:
    (pool,) = pools(sample)
    assert pool["metadata"]["name"] == sample.stem


def test_an_unknown_field_would_be_noticed(sample: Path) -> None:
    (pool,) = pools(sample)
    with pytest.raises(ValueError, match="exekutors"):
        CondorPoolSpec.model_validate({**pool["spec"], "exekutors": []})


def test_what_a_pool_refers_to_is_in_the_file(sample: Path) -> None:
    (obj,) = pools(sample)
    obj["metadata"] |= {"namespace": "default", "uid": "0", "generation": 1}
    present = {(document["kind"], document["metadata"]["name"]) for document in documents(sample)}
    wanted = {(kind, name) for kind, names in referenced(Pool.parse(obj)).items() for name in names}
    if sample.stem == "demo":
        assert wanted == {("Secret", "john")}, "made by the command in its head"
    else:
        assert wanted <= present


def test_secrets_are_usable() -> None:
    secrets = [document for path in SAMPLES for document in documents(path) if document["kind"] == "Secret"]
    assert secrets
    for secret in secrets:
        for key, text in secret["stringData"].items():
            (check_keys if "key" in key else check_password)(text, key)


def fields(node: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the paths of all fields below a structural schema."""
    found = set()
    for name, child in node.get("properties", {}).items():
        found |= {f"{prefix}{name}", *fields(child.get("items", child), f"{prefix}{name}.")}
    return found


def used(node: Any, prefix: str = "") -> set[str]:
    """Return the paths of all fields in an object."""
    if isinstance(node, list):
        return {path for item in node for path in used(item, prefix)}
    if not isinstance(node, dict):
        return set()
    found = set()
    for name, child in node.items():
        found |= {f"{prefix}{name}", *used(child, f"{prefix}{name}.")}
    return found


def test_complete_sample_has_every_field() -> None:
    (pool,) = pools(ROOT / "manifests" / "samples" / "complete.yaml")
    placement = Placement.model_json_schema(by_alias=True)["properties"].keys()
    once = (
        rf"(submitter|executors)\.({'|'.join(placement)})(\..*)?",
        r".+\.configMapRefs\.name",
        r"networkPolicy\.egress\.submitter\..+",
        r"networkPolicy\.monitoring\.ipBlock(\..*)?",
    )
    missing = fields(model_schema(CondorPoolSpec)) - used(pool["spec"])
    assert {path for path in missing if not re.fullmatch("|".join(once), path)} == set()


def test_job_is_the_functional_test_of_the_ancestor() -> None:
    lines = (ROOT / "manifests" / "samples" / "job" / "sleep.sub").read_text().splitlines()
    settings = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines if "=" in line)}
    assert settings["should_transfer_files"] == "Yes"
    assert settings["when_to_transfer_output"] == "ON_EXIT"
    assert {"executable", "log", "output", "error"} <= settings.keys()
    assert (ROOT / "manifests" / "samples" / "job" / settings["executable"]).stat().st_mode & 0o111
