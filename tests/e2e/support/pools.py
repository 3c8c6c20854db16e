"""The shared pools, and what they refer to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .day import NAME, day_objects, day_spec
from .manifests import config_map, group, refs, secret, user
from .ssh import Key

Declared = tuple[str, Mapping[str, Any], Sequence[Mapping[str, Any]]]
"""Name, spec, and the user's objects that the spec refers to."""

SHORT_DRAIN_SECONDS = 20
COLLIDING = ("jan-king", "tom-smith")
"""Users whose names ask for the same UID, so that the second one has another."""
WALLED = "walled"
"""Two pools of this one name, in two namespaces."""


@dataclass(frozen=True)
class Logins:
    """Keys and passwords by user; `stranger` is a key that no pool knows."""

    keys: Mapping[str, Key]
    passwords: Mapping[str, str]


def shared(logins: Logins) -> dict[str, Declared]:
    """Return the shared pools by the name of the fixture that gives them."""
    return {
        "plain_pool": ("plain", {}, ()),
        "lab_pool": ("lab", lab_spec(), lab_objects(logins)),
        "elastic_pool": ("elastic", {"executors": [group("cpu", maxUnavailable=1)]}, ()),
        "drain_pool": (
            "drain",
            {"executors": [group("long", drainTimeout="10m"), group("short", drainTimeout=f"{SHORT_DRAIN_SECONDS}s")]},
            (),
        ),
    }


def later(logins: Logins) -> dict[str, Declared]:
    """Return those of the last files, by the name of the fixture; both of `_walls` belong to the fixture `walls`."""
    return {
        "busy_pool": ("busy", busy_spec(*COLLIDING), [secret("john", authorized_keys=logins.keys["john"].public)]),
        "day_pool": (NAME, day_spec(), day_objects(logins.keys, logins.passwords)),
        "told_pool": ("told", told_spec(), ()),
        "guest_pool": ("guest", guest_spec(), guest_objects(logins)),
        "ending_pool": ("ending", {"executors": [group("cpu", drainTimeout="24h")]}, ()),
        "calico_walls": (WALLED, walled_spec("Auto"), [secret("john", authorized_keys=logins.keys["john"].public)]),
        "kubernetes_walls": (
            WALLED,
            walled_spec("Kubernetes"),
            [secret("john", authorized_keys=logins.keys["john"].public)],
        ),
    }


def busy_spec(*users: str, retention: str = "Retain") -> dict[str, Any]:
    """Return the spec of a pool of two executors that drain for a day, with users who share a key."""
    return {
        "submitter": {
            "storage": {"retentionPolicy": retention},
            "ssh": {"users": [user(name, keys="john") for name in users]},
        },
        "executors": [group("cpu", 2, drainTimeout="24h")],
    }


MONITOR = {"e2e": "monitor"}
"""Labels of the pods that may scrape the told pool."""


def told_spec() -> dict[str, Any]:
    """Return the spec of a pool of two executors whose agent others than the operator may reach."""
    return {
        "networkPolicy": {"monitoring": [{"podSelector": {"matchLabels": MONITOR}}]},
        "executors": [group("cpu", 2, drainTimeout="1m")],
    }


def guest_spec(*others: Mapping[str, Any], without: str = "") -> dict[str, Any]:
    """Return the spec of a pool with users who come and go, and with a privileged executor and one that is not."""
    users = [user("john", keys="john"), user("jane", password="jane"), user("jim", keys="jim", password="jim"), *others]
    return {
        "submitter": {"ssh": {"users": [one for one in users if one["name"] != without]}},
        "executors": [group("open", config=refs("levels")), group("closed", privileged=False)],
    }


def guest_objects(logins: Logins) -> list[dict[str, Any]]:
    """Return the Secrets of its users, and the ConfigMap of the privileged group."""
    return [
        config_map("levels", levels="STARTD_DEBUG =\n"),
        secret("john", authorized_keys=logins.keys["john"].public),
        secret("jane", password=logins.passwords["jane"]),
        secret("jim", authorized_keys=logins.keys["jim"].public, password=logins.passwords["jim"]),
    ]


def walled_spec(mode: str) -> dict[str, Any]:
    """Return the spec of a pool with ssh and an executor on each of two nodes, isolated by policies of a kind."""
    executors = {"condorpool.dev/pool": WALLED, "condorpool.dev/component": "executor"}
    apart = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": executors},
    }
    return {
        "networkPolicy": {"mode": mode},
        "submitter": {"ssh": {"users": [user("john", keys="john")]}},
        "executors": [group("cpu", 2, topologySpreadConstraints=[apart])],
    }


def lab_spec() -> dict[str, Any]:
    """Return the spec of a pool with three users, and with configuration for all roles and for each."""
    return {
        "config": refs("knobs"),
        "manager": {"config": refs("manager-knobs")},
        "submitter": {
            "config": refs("submitter-knobs"),
            "ssh": {
                "users": [
                    user("john", keys="john"),
                    user("jane", password="jane"),
                    user("jim", keys="jim", password="jim"),
                ]
            },
        },
        "executors": [group("cpu", 2, config=refs("cpu-knobs"))],
    }


def lab_objects(logins: Logins) -> list[dict[str, Any]]:
    """Return the ConfigMaps and Secrets of the lab pool."""
    return [
        knobs("knobs", "E2E_WIDE = wide", layer="pool"),
        knobs("manager-knobs", layer="manager"),
        knobs("submitter-knobs", layer="submitter"),
        knobs("cpu-knobs", layer="cpu"),
        secret("john", authorized_keys=logins.keys["john"].public),
        secret("jane", password=logins.passwords["jane"]),
        secret("jim", authorized_keys=logins.keys["jim"].public, password=logins.passwords["jim"]),
    ]


def knobs(name: str, *lines: str, layer: str) -> dict[str, Any]:
    """Return a ConfigMap with one file, knobs.conf, that sets E2E_LAYER in its first line."""
    return config_map(name, knobs="\n".join((f"E2E_LAYER = {layer}", *lines)) + "\n")
