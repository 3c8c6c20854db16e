from pathlib import Path

from pool_init.watch import Watch, fingerprint


def publish(volume: Path, version: str, files: dict[str, str]) -> None:
    """Change a volume as the kubelet does: a new directory, then one rename of the ..data symlink."""
    data = volume / f"..{version}"
    data.mkdir(parents=True)
    for name, text in files.items():
        (data / name).write_text(text)
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")
    (volume / "..new").symlink_to(data.name)
    (volume / "..new").rename(volume / "..data")


def test_a_swap_of_the_volume_is_one_change(tmp_path: Path) -> None:
    publish(tmp_path, "1", {"10-defaults.conf": "A = 1\n"})
    watch = Watch(str(tmp_path))
    assert not watch.changed()
    publish(tmp_path, "2", {"10-defaults.conf": "A = 2\n"})
    assert watch.changed()
    assert not watch.changed()


def test_new_and_deleted_files_are_changes(tmp_path: Path) -> None:
    watch = Watch(str(tmp_path))
    (tmp_path / "passwd").write_text("")
    assert watch.changed()
    (tmp_path / "passwd").unlink()
    assert watch.changed()


def test_a_missing_directory_and_a_dangling_link_are_empty(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    assert fingerprint(str(tmp_path)) == ()
    assert fingerprint(str(tmp_path / "none")) == ()


def test_a_hidden_file_is_no_change_although_its_neighbours_are_new_files(tmp_path: Path) -> None:
    publish(tmp_path, "1", {"10-defaults.conf": "A = 1\n"})
    watch = Watch(str(tmp_path))
    publish(tmp_path, "2", {"10-defaults.conf": "A = 1\n", ".ends": "gone\n"})
    assert not watch.changed()
    publish(tmp_path, "3", {"10-defaults.conf": "A = 2\n", ".ends": "gone\n"})
    assert watch.changed()
