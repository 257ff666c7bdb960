"""Files that appear only when complete."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from realtime_style.system.whole_file import (
    PartialFile,
    PartialSequence,
    new_whole_file,
    whole_file,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_and_the_former_one_stays_until_then(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"former")
    with whole_file(path) as partial:
        partial.write_bytes(b"new")
        assert path.read_bytes() == b"former"
        assert partial.parent == path.parent
        assert partial.suffix == path.suffix  # libraries take the format from it
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["out.png"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"former")
    with pytest.raises(error), whole_file(path) as partial:  # noqa: PT012
        partial.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"former"
    assert names(tmp_path) == ["out.png"]


def test_an_error_on_the_way_into_place_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.mkdir()
    with pytest.raises(OSError, match=r"out\.png"), whole_file(path) as partial:
        partial.write_bytes(b"new")
    assert names(tmp_path) == ["out.png"]


def test_what_a_killed_run_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    PartialFile(path).partial.write_bytes(b"left behind")
    with whole_file(path) as partial:
        partial.write_bytes(b"new")
    assert names(tmp_path) == ["out.png"]


def test_many_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    path, together = tmp_path / "kept.plan", threading.Barrier(8)

    def write(mark: int) -> None:
        with whole_file(path, unique=True) as partial:
            partial.write_bytes(bytes([mark]) * 1000)
            together.wait()
            assert partial.read_bytes() == bytes([mark]) * 1000

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(path.read_bytes())) == 1
    assert names(tmp_path) == ["kept.plan"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_new_file_takes_the_next_free_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "shot.png"
    for mark in (b"1", b"2", b"3"):
        with new_whole_file(path) as file:
            file.partial.write_bytes(mark)
            assert len(list(tmp_path.glob("shot*"))) == int(mark) - 1
    assert file.path == tmp_path / "shot-3.png"
    assert names(tmp_path) == ["shot-2.png", "shot-3.png", "shot.png"]
    assert [(tmp_path / name).read_bytes() for name in names(tmp_path)] == [b"2", b"3", b"1"]
    with pytest.raises(RuntimeError), new_whole_file(path) as file:  # noqa: PT012
        file.partial.write_bytes(b"half")
        raise RuntimeError
    assert len(names(tmp_path)) == 3


def test_a_new_file_does_not_take_a_name_that_another_process_takes_just_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "shot.png", os.link

    def late(source: Path, target: Path) -> None:
        if target == path:
            path.write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with new_whole_file(path) as file:
        file.partial.write_bytes(b"ours")
    assert file.path == tmp_path / "shot-2.png"
    assert path.read_bytes() == b"theirs"


def test_a_file_that_cannot_take_its_place_is_kept_near_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    (tmp_path / "film.painted.mp4").write_bytes(b"of the day before")
    file = PartialFile(path)
    file.partial.write_bytes(b"new")
    assert file.keep(path) == tmp_path / "film.painted-2.mp4"
    assert names(tmp_path) == ["film.painted-2.mp4", "film.painted.mp4"]
    file.partial.write_bytes(b"another")

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    assert file.keep(path) == file.partial
    assert file.partial.read_bytes() == b"another"


def test_a_sequence_replaces_a_longer_one(tmp_path: Path) -> None:
    pattern = tmp_path / "f_%02d.png"
    for i in range(1, 6):
        (tmp_path / f"f_{i:02}.png").write_bytes(b"former")
    sequence = PartialSequence(pattern)
    for i in (1, 2):
        sequence.partial.with_name(f"f_{i:02}.png").write_bytes(b"new")
    assert (tmp_path / "f_01.png").read_bytes() == b"former"
    sequence.put_in_place()
    assert names(tmp_path) == ["f_01.png", "f_02.png"]
    assert (tmp_path / "f_02.png").read_bytes() == b"new"
    assert sequence.removed == 3


def test_a_sequence_that_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    sequence = PartialSequence(tmp_path / "f_%02d.png")
    sequence.partial.with_name("f_01.png").write_bytes(b"new")
    sequence.discard()
    assert names(tmp_path) == []
