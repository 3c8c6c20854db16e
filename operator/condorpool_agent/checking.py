"""Passes a configuration on to the checker, which is part of pool-init and answers on a socket in the pod."""

import json
import socket
import time
from pathlib import Path
from typing import Any

from .collector import UnavailableError

ROLES = ("manager", "submitter", "executor")
CHECK_SECONDS = 10.0
MOST_BYTES = 4 * 1024 * 1024


def is_request(body: bytes) -> bool:
    """Return whether a body says a role, and files by name."""
    try:
        said = json.loads(body)
    except ValueError:
        return False
    if not isinstance(said, dict) or said.keys() != {"role", "files"} or said["role"] not in ROLES:
        return False
    return isinstance(said["files"], dict) and all(isinstance(text, str) for text in said["files"].values())


def check(path: Path, body: bytes) -> dict[str, Any]:
    """Return the checker's findings; UnavailableError where it is not there, or nothing usable came back in time."""
    try:
        answer = json.loads(_exchange(path, body))
    except TimeoutError:
        raise UnavailableError(f"the configuration check did not answer in {CHECK_SECONDS:g} s") from None
    except OSError:
        raise UnavailableError("there is no configuration check in this pod") from None
    except ValueError:
        raise UnavailableError("the configuration check gave no usable answer") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("findings"), list):
        raise UnavailableError("the configuration check gave no usable answer")
    return answer


def _exchange(path: Path, body: bytes) -> bytes:
    """Write the body, end the writing side, and return all that comes back."""
    deadline = time.monotonic() + CHECK_SECONDS
    answer = b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(CHECK_SECONDS)
        sock.connect(str(path))
        sock.sendall(body)
        sock.shutdown(socket.SHUT_WR)
        while len(answer) <= MOST_BYTES:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            part = sock.recv(65536)
            if not part:
                return answer
            answer += part
    raise ValueError("the answer is too long")
