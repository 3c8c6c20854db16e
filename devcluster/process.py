"""Running other programs: every one has a deadline and, where its output is long, a log file."""

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devcluster.errors import CommandError

Command = Sequence[str | Path]
TAIL_LINES = 25


def shell_words(command: Command) -> str:
    """Render the command as a reader would type it."""
    return shlex.join(str(word) for word in command)


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last lines that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def run(
    command: Command,
    *,
    log: Path,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    fix: str = "",
) -> None:
    """Run a program with its output appended to ``log``.

    Raise CommandError with the tail of what it wrote when it fails or runs longer than ``timeout`` seconds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+", encoding="utf-8", errors="replace") as file:
        file.write(f"$ {shell_words(command)}\n")
        file.flush()
        start = file.tell()
        try:
            status = subprocess.run(
                [str(word) for word in command],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=None if stdin is not None else subprocess.DEVNULL,
                input=stdin,
                text=True,
                cwd=cwd,
                env=env,
                timeout=timeout,
                check=False,
            ).returncode
            outcome = f"exit status {status}"
        except subprocess.TimeoutExpired:
            status, outcome = -1, f"not finished after {timeout:.0f} s"
        except OSError as error:
            status, outcome = -1, str(error)
        if status != 0:
            file.seek(start)
            raise CommandError(shell_words(command), outcome, tail=tail(file.read()), log=log, fix=fix)


def output(
    command: Command,
    *,
    timeout: float = 30,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    fix: str = "",
) -> str:
    """Return what a program prints; raise CommandError with its stderr when it fails or hangs."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            input=stdin,
            text=True,
            env=env,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(shell_words(command), f"not finished after {timeout:.0f} s", fix=fix) from error
    except OSError as error:
        raise CommandError(shell_words(command), str(error), fix=fix) from error
    if done.returncode != 0:
        raise CommandError(
            shell_words(command), f"exit status {done.returncode}", tail=tail(done.stderr or done.stdout), fix=fix
        )
    return done.stdout


def succeeds(command: Command, *, timeout: float = 30, env: Mapping[str, str] | None = None) -> bool:
    """Tell whether a program ends well; a hang is a no."""
    try:
        output(command, timeout=timeout, env=env)
    except CommandError:
        return False
    return True


def wait_until(condition: Callable[[], bool], *, timeout: float, interval: float = 0.1) -> bool:
    """Poll until the condition holds; False after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
