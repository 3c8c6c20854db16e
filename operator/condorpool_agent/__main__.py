"""Entry: serves until SIGTERM."""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType

from .collector import Collector
from .credentials import DRAIN_FILE, MONITOR_FILE, Credentials
from .draining import Drainer
from .server import Interface, Server

PORT = 9619
COLLECTOR = "127.0.0.1:9618"
SOURCE = Path("/etc/condorpool/agent")
PRIVATE = Path("/run/condorpool-agent")
CHECKER = Path("/run/condorpool/check.sock")


def main() -> int:
    """Serve for ever; a signal ends the process, and nothing is lost by that."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # pid 1 has no other way to hear it
    credentials = Credentials(SOURCE, PRIVATE)
    collector = Collector(COLLECTOR, partial(credentials.environment, MONITOR_FILE))
    drainer = Drainer(collector, COLLECTOR, partial(credentials.environment, DRAIN_FILE))
    interface = Interface(credentials, collector, drainer, CHECKER)
    with Server(("", PORT), interface, credentials) as server:
        sys.stdout.write(f"serving on port {PORT}\n")
        sys.stdout.flush()
        server.serve_forever()
    return 0


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
