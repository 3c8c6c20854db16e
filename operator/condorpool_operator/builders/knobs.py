"""What a user's configuration may not say, found in its text alone; the pool's own check judges afterwards what HTCondor makes of it.

Refused is what the operator owns, what would make a daemon run a program or read or write a file of somebody's choice (daemons run as
root), and what would read text that nobody checked. HTCondor reads lines in more ways than its manual tells (docs/design/htcondor.md,
Checking a configuration), so every line counts as if a setting began there.
"""

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping

from .. import labels, naming
from .config import render

_NAME = re.compile(r"\s*([^\s=:@#]*)\s*(@=|[=:])")
_KEYWORD = re.compile(r"\s*@?(include|use|if|elif|else|endif|error|warning)\b", re.IGNORECASE)
_USE = re.compile(r"\s*@?use\s+(\w+)\s*:\s*(.*)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ANY = {"pool": "x", "trust_domain": "x", "manager_host": "x", "group": "x", "mounts": True}
_OF_SLOT_TYPE = re.compile(r"SLOT_TYPE_[0-9]+_")
"""A policy with this in front beats the plain one (docs/design/htcondor.md, Mounts)."""
_METAKNOBS = {"POLICY": None, "FEATURE": frozenset({"GPUS"})}
"""Collections of settings that may be used, by category; None is all of a category."""

_IMPLIED = ("NUM_SLOTS", "NUM_SLOTS_TYPE_1", "SLOT_TYPE_1", "SLOT_TYPE_1_PARTITIONABLE")
"""Settings behind `use FEATURE:PartitionableSlot` in the owned file."""

_PROGRAMS = (
    "ANNEXD|COLLECTOR|CREDD|DAGMAN|DEFRAG|GANGLIAD|GRIDMANAGER|HAD|JOB_ROUTER|KBDD|LIBRARIAN|MAIL|MASTER|NEGOTIATOR|PARROT|PLACEMENTD",
    "PREEN|PROCD|REPLICATION|ROOSTER|SCHEDD|SCP|SENDMAIL|SHADOW|SHARED_PORT|SSHD|SSH_KEYGEN|STARTD|STARTER|TRANSFERD|TRANSFERER",
    r"(?!STARTER_JOB_).*_(ARGS|ARGUMENTS|ENVIRONMENT|FLAG|OVERRIDE)",
    r".*_(CMD|COMMAND|EXE|EXECUTABLE|GATEKEEPER|HELPER|LOCATION|PROBE|PROGRAM|SHELL)",
    r".*(APPTAINER|CREDMON|CRON|DIAGNOSTIC|DOCKER|GAHP|HIBERNAT|HOOK|INVENTORY|PLUGIN|SINGULARITY|USER_LIBS|USER_PYTHON|WRAPPER).*",
    r"(?!DAGMAN_).*SCRIPT.*",
    r"BENCHMARKS_.*|BIN|GANGLIA_.*|GPU_MONITOR|JAVA.*|LIB|LIBEXEC|RELEASE_DIR|SBIN|SHELL",
)
_FILES = (
    r"(?!(CREATE|ENABLE|KEEP|MAX|NUM|TRUNC)_).*_(DATABASE|DIR|DIRECTORY|DIRS|FILE|FILES|FS|HISTORY|LOCAL|LOCK|LOG|MAPFILE|PATH|PIPE)",
    r".*_(REPORT|SOCKET)|CLASSAD_USER_MAP.*|ETC|EXECUTE|HISTORY|INCLUDE|LOCAL_CONFIG_.*|LOCAL_UNIV_EXECUTE|LOCK|LOG|PROCD_ADDRESS",
    r"RUN|SHARE|SPOOL",
)
_RIGHTS = (
    r"(ALLOW|AUTH|CERTIFICATE|DENY|ENABLE_PERSISTENT|ENABLE_RUNTIME|HOSTALLOW|HOSTDENY|KERBEROS|SCITOKENS|SEC|SETTABLE|SSL|TRUST)_.*",
    r"CONDOR_IDS|EXECUTE_LOGIN_IS_DEDICATED|JOB_(EXECDIR|SPOOL)_PERMISSIONS|NOBODY_SLOT_USER|PASSWD_CACHE_.*|REUSE_CONDOR_RUN_ACCOUNT",
    r"RUNTIME_CONFIG_ADMIN|SLOT[0-9_]+USER|VALID_COD_USERS|.*SUPER_USER.*|.*UID_DOMAIN",
)
_PLACES = (
    r"(?!DAGMAN_|FLOCK_).*_(HOST|INTERFACE|PORT)|(IN_|OUT_)?(HIGH|LOW)PORT|(COLLECTOR|MASTER|NEGOTIATOR|SCHEDD|STARTD)_NAME",
    r".*DAEMON_LIST|.*_CHROOT|.*_KERNEL_TUNING.*|AUTO_INCLUDE_.*|BASE_CGROUP|CM_IP_ADDR|HA_.*|MASTER_HA_LIST|(FULL_)?HOSTNAME",
    r"HOST_ALIAS|LOCALNAME|NETWORK_HOSTNAME|SHUTDOWN_.*|START_(DAEMONS|MASTER)|SUBSYSTEM|TCP_UPDATE_COLLECTORS",
)
_REFUSED = {
    _PROGRAMS: "it names a program, or how one is called, and a daemon would run it as root",
    _FILES: "it names a file or directory, which a daemon would read or write as root",
    _RIGHTS: "it decides who may do what, which is the operator's",
    _PLACES: "it decides which daemons run, what they are called or where they meet, which is the operator's",
}
"""Patterns of names, by why they are refused; held against all settings that HTCondor 25 knows (param_info.in)."""


_RESTART = {
    naming.EXECUTOR: re.compile(
        r"(ENVIRONMENT_FOR_ASSIGNED|MACHINE_RESOURCE_|NUM_SLOTS|OFFLINE_MACHINE_RESOURCE_|RESERVED_|SLOT_TYPE_).*|"
        r"GPU_DISCOVERY_EXTRA|STARTD_DETECT_GPUS"
    )
}
_RESTART_OF_ALL = re.compile(
    r"(CCB|CGROUP|PROCD)_.*|.*MAX_FILE_DESCRIPTORS|.*_TRACKING_GID|BIND_ALL_INTERFACES|PRIVATE_NETWORK_NAME|USE_(GID|PID|PROCD).*"
)
"""Settings that a daemon reads only at its start, by role and of all roles (HTCondor's manual, Macros That Will Require a Restart)."""


@functools.cache
def _refused() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile("|".join(patterns)), why) for patterns, why in _REFUSED.items())


@functools.cache
def owned_knobs() -> frozenset[str]:
    """Return the names, in capitals, of all settings in the owned files of all roles."""
    return frozenset(name for name, _ in _owned_lines()) | frozenset(_IMPLIED)


@functools.cache
def _extended() -> frozenset[str]:
    """Return those of which the owned value adds to the user's own, such as STARTD_ATTRS."""
    return frozenset(name for name, line in _owned_lines() if f"$({name})" in line.upper())


def _owned_lines() -> Iterator[tuple[str, str]]:
    for role in (naming.MANAGER, naming.SUBMITTER, naming.EXECUTOR):
        for line in render(f"{role}-operator.conf.j2", **_ANY).splitlines():
            if knob := _knob(line):
                yield knob.upper(), line


def findings(text: str) -> list[str]:
    """Return what is refused in a file of a user's configuration: "line 3: DAEMON_LIST ...", without the value."""
    if found := _CONTROL.search(text):
        return [f"line {text.count(chr(10), 0, found.start()) + 1}: a control character is refused: remove it"]
    return [f"line {number}: {problem}" for number, line in _lines(text) if (problem := _problem(line))]


def restart_annotation(role: str, files: Mapping[str, str]) -> dict[str, str]:
    """Return the annotation of a role's pods by which new ones are made when such a setting changes; none without one."""
    lines = [line for name in sorted(files) for _, line in _lines(files[name]) if _needs_restart(role, line)]
    if not lines:
        return {}
    return {labels.RESTART_HASH: hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]}


def _needs_restart(role: str, line: str) -> bool:
    if role == naming.EXECUTOR and _USE.match(line):
        return "FEATURE" in line.upper()
    plain = (_knob(line) or "").upper().rpartition(".")[2]
    own = _RESTART.get(role)
    return bool(_RESTART_OF_ALL.fullmatch(plain) or (own is not None and own.fullmatch(plain)))


def _problem(line: str) -> str | None:
    if _KEYWORD.match(line):
        return _keyword_problem(line)
    knob = _knob(line)
    if knob is None:
        return None
    if "$" in knob:
        return f"{knob[:80]} is refused: write the name of the setting out"
    return _knob_problem(knob)


def _knob_problem(knob: str) -> str | None:
    _, dot, plain = knob.upper().rpartition(".")
    if (policy := _OF_SLOT_TYPE.sub("", plain)) != plain and policy in owned_knobs():
        return f"{knob} is refused: the operator owns {policy} or adds to it, remove the line"
    if plain in owned_knobs() and (dot or plain not in _extended()):
        return f"{knob} is refused: the operator owns {plain}, remove the line"
    for pattern, why in _refused():
        if plain not in owned_knobs() and pattern.fullmatch(plain):
            return f"{knob} is refused: {why}; remove the line"
    return None


def _keyword_problem(line: str) -> str | None:
    if re.match(r"\s*@?include\b", line, re.IGNORECASE):
        return "include is refused: put the text itself into the ConfigMap"
    if not re.match(r"\s*@?use\b", line, re.IGNORECASE):
        return None
    used = _USE.match(line)
    category, names = (used.group(1).upper(), used.group(2)) if used else ("", "")
    if category not in _METAKNOBS:
        return f"use {category} is refused: write the settings themselves"
    allowed = _METAKNOBS[category]
    for name in re.split(r"[\s,]+", names.strip()):
        if allowed is not None and name.upper() not in allowed:
            return f"use {category}:{name[:80]} is refused: write the settings themselves"
    return None


def _knob(line: str) -> str | None:
    """Return the name of the setting that a line begins, if it begins one."""
    if line.lstrip().startswith("#"):
        return None
    match = _NAME.match(line)
    return match.group(1) or None if match else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield every line by itself, and the beginning of every one that goes on after a \ as HTCondor joins it, without comments."""
    start, joined = 0, ""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        yield number, line
        if line.startswith("#"):
            continue
        if line.endswith("\\"):
            start, joined = start or number, joined + line.removesuffix("\\").rstrip()
            continue
        if joined:
            yield start, joined + line
        start, joined = 0, ""
