from pathlib import Path

from pool_init.processes import children


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
