"""What is wrong with the files of one role's configuration."""

import functools
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from .dump import Setting, parse_dump, parse_error

OWNED = "90-operator.conf"
USER_PREFIX = "50-"
ROOT = "/etc/condor/condor_config"
PACKAGED = "/usr/share/condor/config.d"

# the programs of each role that read configuration; a name in front of a setting (SCHEDD.X) makes it that program's own
READERS = {
    "manager": ("MASTER", "SHARED_PORT", "COLLECTOR", "NEGOTIATOR", "TOOL"),
    "submitter": ("MASTER", "SHARED_PORT", "SCHEDD", "SHADOW", "SUBMIT", "TOOL"),
    "executor": ("MASTER", "SHARED_PORT", "STARTD", "STARTER", "TOOL"),
}
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "POOL_CPUS": "1", "POOL_MEMORY": "1024", "POOL_DISK": "1024"}
OUT_OF_TIME = (-signal.SIGXCPU, -signal.SIGKILL)
LONGEST = 300

NUMBER = re.compile(r"-?\d+(\.\d+)?")
TRUTH = re.compile(r"true|false", re.IGNORECASE)
# of these the default is a number or a truth value, and the value may be any expression (param_info.in of HTCondor: type string or none)
EXPRESSION = re.compile(
    r"START|RANK|SUSPEND|CONTINUE|PREEMPT|KILL|IS_OWNER|WANT_\w+|SLOT_WEIGHT|JOB_RENICE_INCREMENT|JOB_DEFAULT_\w+|START_\w+_UNIVERSE|"
    r"SYSTEM_(PERIODIC|ON_EXIT)_(HOLD|RELEASE|REMOVE|VACATE)(_\w+)?|SUBMIT_REQUIREMENT_\w+|\w+_(EXPR|RANK|REQUIREMENTS)",
    re.IGNORECASE,
)
NO_EXPRESSION = re.compile(r".*_NAMES|SUBMIT_REQUIREMENT_\w+_IS_WARNING", re.IGNORECASE)
ATTRIBUTE_LIST = re.compile(r"(MASTER|COLLECTOR|NEGOTIATOR|SCHEDD|STARTD)_(ATTRS|EXPRS)", re.IGNORECASE)


class Finding:
    """What is wrong, with the file and line that are to be mended and the setting where there is one."""

    __slots__ = ("file", "knob", "line", "message")

    def __init__(self, message: str, file: str = "", line: int = 0, knob: str = "") -> None:
        self.message = message[:LONGEST]
        self.file = file
        self.line = line
        self.knob = knob

    def key(self) -> tuple[str, int, str, str]:
        return self.file, self.line, self.knob, self.message

    def text(self) -> str:
        where = f"{self.file}, line {self.line}: " if self.file else ""
        return f"{where}{self.knob}{' ' if self.knob else ''}{self.message}"


class RefusedError(Exception):
    """HTCondor does not take the files at all."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text())
        self.finding = finding


def judge(role: str, files: Mapping[str, str]) -> list[Finding]:
    """All that is wrong, by file and line; the files are keyed by the names that decide their order."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            found = list(_judge(role, files, directory))
        except RefusedError as refused:
            found = [refused.finding]
    return list({finding.key(): finding for finding in sorted(found, key=Finding.key)}.values())


def _judge(role: str, files: Mapping[str, str], directory: str) -> Iterator[Finding]:
    everything = _lay_out(os.path.join(directory, "all"), files)
    if not any(name.startswith(USER_PREFIX) for name in files):
        _dump(everything, "MASTER")
        return
    ours = _lay_out(
        os.path.join(directory, "ours"),
        {name: text for name, text in files.items() if not name.startswith(USER_PREFIX)},
    )
    for reader in READERS[role]:
        owned = {setting.name.upper() for setting in _dump(ours, reader) if setting.file == OWNED}
        settings = _dump(everything, reader)
        yield from _taken(settings, owned)
        yield from _malformed(settings)


def _lay_out(directory: str, files: Mapping[str, str]) -> str:
    """Write the files where HTCondor finds them; returns the path of the root of the configuration."""
    os.mkdir(directory)
    for name, text in files.items():
        with open(os.path.join(directory, os.path.basename(name)), "w", encoding="utf-8") as file:
            file.write(text)
    root = directory + ".root"
    with open(ROOT, encoding="utf-8") as packaged, open(root, "w", encoding="utf-8") as file:
        file.write(f"{packaged.read()}\nLOCAL_CONFIG_DIR = {PACKAGED},{directory}\n")
    return root


def _dump(root: str, reader: str) -> list[Setting]:
    command = ("condor_config_val", "-dump", "-verbose", "-subsystem", reader)
    code, out, errors = _run(command, {**ENVIRONMENT, "CONDOR_CONFIG": root})
    if code == 0:
        return parse_dump(out)
    file, line, said = parse_error(errors)
    raise RefusedError(Finding(f"HTCondor refuses it: {said or 'this is no setting'}", file, line))


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, output and complaints; whoever starts the check bounds the processor time of each of its processes."""
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode in OUT_OF_TIME:
        raise RefusedError(Finding("HTCondor finds no end reading this: perhaps two settings refer to each other"))
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def _taken(settings: Sequence[Setting], owned: set[str]) -> Iterator[Finding]:
    """Settings of the operator's that another file would decide, also for one program only."""
    for setting in settings:
        plain = setting.name.upper().rpartition(".")[2]
        if setting.file.startswith(USER_PREFIX) and plain in owned:
            yield Finding("belongs to the operator: remove it", setting.file, setting.line, setting.name)


def _malformed(settings: Sequence[Setting]) -> Iterator[Finding]:
    """Values that would end a daemon, or that it would ignore: no number, no truth value, no expression."""
    attributes = {
        name.upper()
        for one in settings
        if ATTRIBUTE_LIST.fullmatch(one.name)
        for name in one.value.replace(",", " ").split()
    }
    for setting in settings:
        if not setting.file.startswith(USER_PREFIX) or setting.metaknob:
            continue
        plain = setting.name.rpartition(".")[2]
        is_expression = EXPRESSION.fullmatch(plain) is not None and NO_EXPRESSION.fullmatch(plain) is None
        if is_expression or plain.upper() in attributes:
            wanted = "" if _evaluate(setting.value) is not None or not setting.value else "an expression"
        else:
            wanted = _not_as_wanted(setting)
        if wanted:
            yield Finding(f"must be {wanted}, not {setting.value[:80]!r}", setting.file, setting.line, setting.name)


def _not_as_wanted(setting: Setting) -> str:
    """What the value must be and is not; empty where it is, or may be anything."""
    if not setting.value:
        return ""
    if NUMBER.fullmatch(setting.default):
        return "" if NUMBER.match(_evaluate(setting.value) or "") else "a number"
    if TRUTH.fullmatch(setting.default):
        result = _evaluate(setting.value) or ""
        return "" if TRUTH.fullmatch(result) or NUMBER.fullmatch(result) else "true or false"
    return ""


@functools.cache
def _evaluate(expression: str) -> str | None:
    """What HTCondor makes of an expression that stands alone; None where it is none."""
    code, out, _ = _run(("classad_eval", "-quiet", expression), ENVIRONMENT)
    return out.strip() if code == 0 else None
