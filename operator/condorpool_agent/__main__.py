"""Entry: serves until SIGTERM."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from .collector import Collector
from .credentials import Credentials
from .server import Interface, Server

PORT = 9619
COLLECTOR = "127.0.0.1:9618"
SOURCE = Path("/etc/condorpool/agent")
PRIVATE = Path("/run/condorpool-agent/identity")
CHECKER = Path("/run/condorpool/check.sock")


def main() -> int:
    """Serve for ever; a signal ends the process, and nothing is lost by that."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # pid 1 has no other way to hear it
    credentials = Credentials(SOURCE, PRIVATE)
    interface = Interface(credentials, Collector(COLLECTOR, credentials.environment), CHECKER)
    with Server(("", PORT), interface, credentials) as server:
        sys.stdout.write(f"serving on port {PORT}\n")
        sys.stdout.flush()
        server.serve_forever()
    return 0


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
