"""The ledger and the program of a job, against each other."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos import job as program
from tests.chaos.history import read_runs
from tests.chaos.job import Teller, job_id
from tests.chaos.ledger import ledger

AD = 'MyType = "Job"\nProcId = 3\nClusterId = 12\nDAGManJobId = 9\n'


def test_the_id_is_that_of_the_ad() -> None:
    assert job_id(AD) == "12.3"


def test_a_job_tells_of_its_life_to_the_ledger_and_in_its_output(tmp_path: Path) -> None:
    (tmp_path / "ad").write_text(AD)
    file = tmp_path / "ledger.jsonl"
    with ledger("127.0.0.1", file) as server:
        host, port = server.place
        command = [sys.executable, "-I", "-S", program.__file__, "1.2", host, str(port)]
        done = subprocess.run(
            command,
            env={"_CONDOR_JOB_AD": str(tmp_path / "ad")},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert server.ended() == {"12.3"}
    (run,) = read_runs(file.read_text().splitlines())
    assert run.job == "12.3"
    assert run.ended
    assert run.last - run.began == pytest.approx(1.2, abs=0.5)
    assert done.stdout.splitlines() == file.read_text().splitlines()


def test_what_a_ledger_did_not_hear_it_hears_later(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    with ledger("127.0.0.1", file) as server:
        teller = Teller("1.0", ("127.0.0.1", _closed_port()))
        teller.say("begin")
        assert read_runs(file.read_text().splitlines()) == []
        teller._address = server.place
        teller.say("end")
        assert teller.finish()
    (run,) = read_runs(file.read_text().splitlines())
    assert run.ended
    assert len(file.read_text().splitlines()) == 2


def _closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_a_job_waits_for_no_ledger() -> None:
    began = time.monotonic()
    teller = Teller("1.0", ("127.0.0.1", _closed_port()))
    teller.say("begin")
    assert not teller.finish()
    assert time.monotonic() - began < 6
    assert len(teller.lines) == 1


def test_a_line_that_was_cut_off_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    with ledger("127.0.0.1", file) as server:
        teller = Teller("1.0", server.place)
        teller.say("begin")
        assert teller._socket is not None
        teller._socket.sendall(b'{"job": "1.0", "ru')
        teller._drop()
        teller.say("end")
        assert teller.finish()
    lines = file.read_text().splitlines()
    assert [line for line in lines if not line.endswith("}")] == []
