"""The agent that the tests ask."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .listening import Agent


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """Give an agent that serves until the test is over."""
    one = Agent(tmp_path, monkeypatch)
    threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield one
    one.server.shutdown()
    one.server.server_close()
