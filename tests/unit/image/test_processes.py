from pathlib import Path

from pool_init.processes import children, process_name, running


def test_children_are_found_whatever_their_names(tmp_path: Path) -> None:
    for pid, stat in {
        1: "1 (pool-init) S 0 1",
        8: "8 (condor_master) S 1 8",
        11: "11 (condor_startd) T 8 8",
        30: "30 (x) S 8 (y) S 11 8",
    }.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(stat)
    (tmp_path / "31").mkdir()
    (tmp_path / "sys").mkdir()
    assert children(8, str(tmp_path)) == {11: "condor_startd"}
    assert children(11, str(tmp_path)) == {30: "x) S 8 (y"}


def test_processes_are_counted_by_the_name_that_the_kernel_keeps(tmp_path: Path) -> None:
    for pid, name in {1: "pool-init", 9: "condor_collecto", 30: "condor_starter", 31: "condor_starter"}.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
    (tmp_path / "32").mkdir()
    (tmp_path / "sys").mkdir()
    proc = str(tmp_path)
    assert (process_name(9, proc), process_name(32, proc), process_name(33, proc)) == ("condor_collecto", "", "")
    assert (running("condor_starter", proc), running("condor_collector", proc), running("sshd", proc)) == (2, 1, 0)
