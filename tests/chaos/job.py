"""A job of a chaos run: lives for so many seconds, and tells the ledger when it began, every second, and when it ended.

A program of its own: its text is submitted with the job, so it uses the standard library alone. What the ledger does not hear at once
it hears later: every connection begins with all that was said so far. All of it is printed at the end too, and comes back as output.

job.py SECONDS ADDRESS PORT
"""

import contextlib
import json
import os
import re
import socket
import sys
import time
import uuid
from pathlib import Path

BEAT_SECONDS = 1.0
CALL_SECONDS = 0.5
LAST_CALL_SECONDS = 3.0


class Teller:
    """Says lines to the ledger, all of them once more on every new connection; waits for nobody for long."""

    def __init__(self, job: str, address: tuple[str, int]) -> None:
        self._who = {"job": job, "run": uuid.uuid4().hex[:12], "host": socket.gethostname()}
        self._address = address
        self._socket: socket.socket | None = None
        self.lines: list[str] = []

    def say(self, kind: str) -> None:
        """Add a line about now and send it."""
        self.lines.append(json.dumps({**self._who, "kind": kind, "time": round(time.time(), 3)}) + "\n")
        self._send(self.lines if self._socket is None else self.lines[-1:])

    def finish(self) -> bool:
        """Say all of it once more where needed, and return whether the ledger has it."""
        deadline = time.monotonic() + LAST_CALL_SECONDS
        while time.monotonic() < deadline:
            if self._socket is None:
                self._send(self.lines)
            with contextlib.suppress(OSError):
                if self._socket is not None:
                    self._socket.shutdown(socket.SHUT_WR)
                    if self._socket.recv(16):
                        return True
            self._drop()
            time.sleep(CALL_SECONDS)
        return False

    def _send(self, lines: list[str]) -> None:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, CALL_SECONDS)
            self._socket.sendall("".join(lines).encode())
        except OSError:
            self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def job_id(ad: str) -> str:
    """Return the id of the job that an ad describes."""
    found = dict(re.findall(r"^(ClusterId|ProcId) = (\d+)$", ad, re.MULTILINE))
    return f"{found['ClusterId']}.{found['ProcId']}"


def main(seconds: float, address: tuple[str, int]) -> None:
    """Live for so long."""
    teller = Teller(job_id(Path(os.environ["_CONDOR_JOB_AD"]).read_text()), address)
    end = time.monotonic() + seconds
    teller.say("begin")
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, BEAT_SECONDS))
        teller.say("beat")
    teller.say("end")
    sys.stdout.write("".join(teller.lines))
    sys.stdout.flush()
    teller.finish()


if __name__ == "__main__":
    main(float(sys.argv[1]), (sys.argv[2], int(sys.argv[3])))
