"""Bad input: refused at the door where it can be, else told by a condition and one event; what runs goes on."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.support.jobs import shell_job
from tests.e2e.support.manifests import condor_pool, config_map, group, refs, secret, user
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import Logins, lab_spec
from tests.e2e.support.ssh import Ssh

TOLD_SECONDS = 20.0
REPAIRED_SECONDS = 10.0
"""By a watch; the operator's own second look at a pool with a problem comes after 15 s."""

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"executers": []}, 'unknown field "spec.executers"'),
    "root": ({"submitter": {"ssh": {"users": [user("root", keys="john")]}}}, "belongs to the system"),
    "shell in a name": ({"submitter": {"ssh": {"users": [user("a;rm", keys="john")]}}}, "should match"),
    "two groups of one name": ({"executors": [group("cpu"), group("cpu")]}, "Duplicate value"),
    "two users of one name": (
        {"submitter": {"ssh": {"users": [user("john", keys="john"), user("john", keys="jim")]}}},
        "Duplicate value",
    ),
    "a user without a way in": ({"submitter": {"ssh": {"users": [{"name": "john"}]}}}, "or both"),
    "newline in a reference": ({"config": refs("a\nALLOW_WRITE = *")}, "should match"),
    "wrong quantity": ({"executors": [group("cpu", resources={"limits": {"memory": "lots"}})]}, "should match"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_at_admission(lab_pool: Pool, case: str) -> None:
    spec, words = REFUSED[case]

    said = lab_pool.kubectl.refuse(condor_pool("bad", spec))

    assert words in said, said


def test_a_name_that_is_too_long_is_refused(lab_pool: Pool) -> None:
    said = lab_pool.kubectl.refuse(condor_pool("p" * 31, {}))

    assert "at most 30 characters" in said, said


@pytest.fixture
def restored(lab_pool: Pool) -> Iterator[Pool]:
    """Give the lab pool and put its spec back at the end."""
    yield lab_pool
    lab_pool.apply(lab_spec())
    lab_pool.wait_condition("Ready", "True", 60)


def with_user(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lab pool's spec with one more user."""
    spec = lab_spec()
    spec["submitter"]["ssh"]["users"].append(dict(entry))
    return spec


def test_a_missing_config_map(restored: Pool) -> None:
    pool = restored
    spec = lab_spec() | {"config": refs("knobs", "late-knobs")}

    pool.apply(spec)

    condition = pool.wait_condition("ConfigValid", "False", TOLD_SECONDS, "ConfigMapNotFound")
    assert "spec.config.configMapRefs[late-knobs]" in condition["message"]
    assert "create it or remove the reference" in condition["message"]
    pool.wait_condition("Ready", "False", TOLD_SECONDS)
    assert pool.submit(shell_job("echo still here"), user="john").wait_done(60) == "still here\n"

    pool.kubectl.apply(config_map("late-knobs", knobs="E2E_LATE = here\n"))
    pool.wait_condition("Ready", "True", REPAIRED_SECONDS)
    told = [message for reason, message in pool.warnings() if reason == "ConfigMapNotFound"]
    assert len(told) == 1, told


CASES = {
    "missing Secret": ("kate", None, "SecretNotFound", "there is no Secret kate"),
    "missing key": ("kim", {"wrong": "text"}, "SecretInvalid", "has no key authorized_keys"),
    "empty key file": ("kurt", {"authorized_keys": "# none yet\n"}, "SecretInvalid", "holds no public key"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_user_whose_secret_cannot_be_used(restored: Pool, ssh: Ssh, logins: Logins, case: str) -> None:
    pool = restored
    name, texts, reason, words = CASES[case]
    if texts is not None:
        pool.kubectl.apply(secret(name, **texts))

    pool.apply(with_user(user(name, keys=name)))

    condition = pool.wait_condition("UsersValid", "False", TOLD_SECONDS, reason)
    assert f"spec.submitter.ssh.users[{name}].authorizedKeysSecretRef" in condition["message"]
    assert words in condition["message"]
    others = ssh.with_key("john", logins.keys["john"], "id -un")
    assert others.out == "john\n", others

    pool.kubectl.apply(secret(name, authorized_keys=logins.keys["jim"].public))
    pool.wait_condition("Ready", "True", REPAIRED_SECONDS)
    told = [message for _, message in pool.warnings() if f"users[{name}]" in message]
    assert len(told) == 1, told
