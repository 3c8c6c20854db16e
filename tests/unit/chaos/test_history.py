"""What jobs and users' logs say, read."""

import json

from tests.chaos.history import Event, Run, read_events, read_outputs, read_runs

LOG = """000 (012.003.000) 2026-11-25 07:58:44 Job submitted from host: <10.244.1.7:9618?addrs=10.244.1.7-9618&alias=chaos-submitter-0>
...
001 (012.003.000) 2026-11-25 07:58:46 Job executing on host: <10.244.2.9:9618?addrs=10.244.2.9-9618>
	SlotName: slot1_2@chaos-steady-1.chaos-steady.e2e-chaos.svc.cluster.local
	CondorScratchDir = "/var/lib/condor/execute/dir_90/scratch"
	Cpus = 1
...
005 (012.003.000) 2026-11-25 07:58:50 Job terminated.
	(1) Normal termination (return value 0)
		Usr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage
...
005 (012.004.000) 2026-11-25 07:58:51 Job terminated.
	(0) Abnormal termination (signal 9)
...
"""
BEGAN = 1795593524.0
"""The first event."""


def line(kind: str, time: float, run: str = "a", job: str = "12.3", host: str = "chaos-steady-1") -> str:
    """Return what a job says."""
    return json.dumps({"job": job, "run": run, "host": host, "kind": kind, "time": time})


def test_a_users_log() -> None:
    assert read_events(LOG) == [
        Event("12.3", "000", BEGAN),
        Event("12.3", "001", BEGAN + 2, "chaos-steady-1"),
        Event("12.3", "005", BEGAN + 6, normal=True),
        Event("12.4", "005", BEGAN + 7),
    ]


def test_an_event_that_was_cut_off_does_not_hide_the_next_one() -> None:
    """The shadow that wrote it died; its successor goes on behind it."""
    cut = LOG.replace("\tCpus = 1\n...\n", "\tCp")
    assert [event.code for event in read_events(cut)] == ["000", "001", "005", "005"]


def test_runs_are_told_in_any_order_and_any_number_of_times() -> None:
    lines = [line("begin", 10.0), line("beat", 11.0), line("end", 12.5), line("begin", 20.0, "b")]
    expected = [
        Run("12.3", "a", "chaos-steady-1", 10.0, 12.5, ended=True),
        Run("12.3", "b", "chaos-steady-1", 20.0, 20.0, ended=False),
    ]
    assert read_runs([*reversed(lines), *lines]) == expected


def test_lines_that_are_cut_off_are_left_out() -> None:
    assert read_runs([line("begin", 10.0)[:-4], "", "null", "{}", "7"]) == []


def test_the_output_of_a_job_is_that_of_the_run_that_ended() -> None:
    assert read_outputs([line("begin", 10.0), line("end", 12.0), line("beat", 11.0, "b", "12.4")]) == {"12.3": "a"}
