"""What can go wrong, told so that a reader knows what to do next."""

from pathlib import Path


class DevClusterError(Exception):
    """A failure with the fix, where one is known; ``main`` prints it without a traceback."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class CommandError(DevClusterError):
    """A program that failed or ran out of time: its command line, the tail of its output, where the rest is."""

    def __init__(self, command: str, outcome: str, *, tail: str = "", log: Path | None = None, fix: str = "") -> None:
        lines = [f"{command}: {outcome}"]
        if tail:
            lines += ["  | " + line for line in tail.splitlines()]
        if log is not None:
            lines.append(f"whole output: {log}")
        super().__init__("\n".join(lines), fix=fix)
