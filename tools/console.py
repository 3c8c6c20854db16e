"""What the tools share: commands shown before they run, elapsed time, and an end with the failing command's name."""

import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"

RELEASE = "condorpool-operator"
"""Helm release of the operator, and name of its Deployment."""
SYSTEM_NAMESPACE = "condorpool-system"


class CommandFailedError(Exception):
    """A command that had to succeed did not."""


class Console:
    """Says what happens while it happens; times are seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Print a line with the time."""
        sys.stdout.write(f"[{self.elapsed:6.1f} s] {text}\n")
        sys.stdout.flush()

    def show(self, text: str) -> None:
        """Print output, indented under its command."""
        for line in text.rstrip().splitlines():
            sys.stdout.write(f"             {line}\n")
        sys.stdout.flush()

    def run(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Show a command and run it, its output passed through."""
        self.say(f"$ {as_typed(command)}")
        if subprocess.run(command, cwd=ROOT, env=env, check=False).returncode != 0:
            raise CommandFailedError(shlex.join(command))

    def cluster(self, *command: str, stdin: str | None = None, quiet: bool = False) -> str:
        """Show a command, run it in the cluster's network, show and return its output; quiet shows neither."""
        if not quiet:
            self.say(f"$ {shlex.join(command)}")
        result = subprocess.run(
            in_cluster(*command), cwd=ROOT, input=stdin, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise CommandFailedError(f"{shlex.join(command)}\n{result.stdout}{result.stderr}".rstrip())
        if not quiet:
            self.show(result.stdout)
        return result.stdout


def as_typed(command: Sequence[str]) -> str:
    """Return a command line as a user at the repository's root would type it."""
    return shlex.join(command).replace(sys.executable, "python3").replace(f"{ROOT}/", "")


def in_cluster(*command: str) -> list[str]:
    """Return a command as it is called from outside the cluster's network."""
    return [sys.executable, "-m", "devcluster", "run", "--", *command]


def relative(path: Path) -> str:
    """Return a path as a user at the repository's root would type it."""
    return str(path.relative_to(ROOT))


def exit_status(console: Console, error: CommandFailedError) -> int:
    """Say which command failed; return 1."""
    console.say(f"failed: {error}")
    return 1
