"""The ledger: a listener beside the cluster that jobs may call, and that writes down what they say as it comes."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from .history import read_runs

SILENT_SECONDS = 600.0
"""After which a caller is given up: its executor is gone without a word."""


class Ledger(socketserver.ThreadingTCPServer):
    """Takes lines from any number of callers, and answers `ok` to one that has said all."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: str, file: TextIO) -> None:
        super().__init__((address, 0), _Caller)
        self._file = file
        self._lock = threading.Lock()
        self._ended: set[str] = set()

    @property
    def place(self) -> tuple[str, int]:
        """Address and port."""
        host, port = self.server_address[:2]
        return str(host), int(port)

    def ended(self) -> set[str]:
        """Return the jobs of which a run has ended."""
        with self._lock:
            return set(self._ended)

    def write(self, line: str) -> None:
        """Write one line down."""
        found = read_runs([line])
        with self._lock:
            self._file.write(line)
            self._file.flush()
            self._ended |= {run.job for run in found if run.ended}


class _Caller(socketserver.StreamRequestHandler):
    timeout = SILENT_SECONDS
    server: Ledger

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            for line in self.rfile:
                if line.endswith(b"\n"):  # one that was cut off comes again, whole
                    self.server.write(line.decode(errors="replace"))
            self.wfile.write(b"ok\n")


@contextmanager
def ledger(node_address: str, path: Path) -> Iterator[Ledger]:
    """Keep a ledger in a file, where the nodes and what is behind them can reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((node_address, 9))
        address = sock.getsockname()[0]
    with path.open("a") as file, Ledger(address, file) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
