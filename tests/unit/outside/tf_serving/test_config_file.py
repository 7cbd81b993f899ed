"""The config file under several writers: nobody's change is lost, and no reader finds half a file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from monitor.errors import InputError, TransientError
from monitor.outside.tf_serving.config_file import ConfigFile


@pytest.fixture
def file(tmp_path: Path) -> ConfigFile:
    path = tmp_path / "models.config"
    path.write_text("0\n")
    path.chmod(0o640)
    return ConfigFile(path)


def test_a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it(file: ConfigFile) -> None:
    before = file.path.stat()
    with file.path.open() as reader:  # one that has begun to read finds the old text to its end
        assert file.rewrite(lambda text: text + "1\n") == "0\n1\n"
        assert reader.read() == "0\n"
    after = file.path.stat()
    assert (after.st_mode, after.st_ino != before.st_ino) == (before.st_mode, True)
    assert [path.name for path in file.path.parent.iterdir()] == ["models.config"]


def test_what_changes_nothing_is_not_written(file: ConfigFile) -> None:
    before = file.path.stat()
    assert file.rewrite(lambda text: text) == "0\n"
    assert (file.path.stat().st_ino, file.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_edit_between_reading_and_writing_is_not_lost(file: ConfigFile) -> None:
    edits = iter(["theirs\n", "theirs again\n"])

    def change(text: str) -> str:
        for edit in edits:  # an editor saves while we think
            file.path.write_text(text + edit)
            break
        return text + "ours\n"

    assert file.rewrite(change) == "0\ntheirs\ntheirs again\nours\n"
    assert file.path.read_text() == "0\ntheirs\ntheirs again\nours\n"


def test_somebody_who_writes_all_the_time_makes_us_wait(file: ConfigFile) -> None:
    def change(text: str) -> str:
        file.path.write_text(text + ".")
        return text + "ours"

    with pytest.raises(TransientError, match="somebody else writes the model config all the time"):
        file.rewrite(change)
    assert "ours" not in file.path.read_text()


def test_writers_of_this_program_wait_for_each_other(file: ConfigFile) -> None:
    def count() -> None:
        for _ in range(20):
            file.rewrite(lambda text: f"{int(text) + 1}\n")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read() == "80\n"


def test_a_change_that_fails_leaves_the_file_alone(file: ConfigFile) -> None:
    def change(_text: str) -> str:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        file.rewrite(change)
    assert (file.read(), len(list(file.path.parent.iterdir()))) == ("0\n", 1)


def test_what_a_link_points_to_is_replaced_and_the_link_stays(file: ConfigFile, tmp_path: Path) -> None:
    link = tmp_path / "linked" / "current.config"
    link.parent.mkdir()
    link.symlink_to(file.path)
    ConfigFile(link).rewrite(lambda text: text + "1\n")
    assert (link.is_symlink(), file.read()) == (True, "0\n1\n")


def test_no_file_is_told(tmp_path: Path) -> None:
    file = ConfigFile(tmp_path / "no.config")
    with pytest.raises(InputError, match=r"no\.config: the model config cannot be read: No such file"):
        file.read()
    with pytest.raises(InputError, match=r"no\.config: the model config cannot be written: No such file"):
        file.rewrite(str.upper)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(file: ConfigFile) -> None:
    file.path.parent.chmod(0o500)
    try:
        with pytest.raises(InputError, match="the model config cannot be written: Permission denied"):
            file.rewrite(lambda text: text + "1")
    finally:
        file.path.parent.chmod(0o700)
