"""Span storage: one suite for a local folder and for fsspec."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from monitor.cuts import SpanStorage
from monitor.errors import ConfigError, TransientError
from monitor.store.span_storage import open_storage


@pytest.fixture(params=["folder", "fsspec"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> SpanStorage:
    return open_storage(f"file:{tmp_path}/spans" if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def test_what_was_put_is_got(storage: SpanStorage) -> None:
    storage.put("a/b.parquet", b"content")
    assert storage.get("a/b.parquet") == b"content"
    assert list(storage.list("a/")) == ["a/b.parquet"]


def test_a_name_is_written_once(storage: SpanStorage) -> None:
    storage.put("a", b"one")
    with pytest.raises(FileExistsError):
        storage.put("a", b"two")
    assert storage.get("a") == b"one"


def test_deleting_twice_is_once(storage: SpanStorage) -> None:
    storage.put("a", b"one")
    storage.delete("a")
    storage.delete("a")
    with pytest.raises(FileNotFoundError):
        storage.get("a")
    assert list(storage.list()) == []


def test_a_folder_that_cannot_be_written_is_a_passing_trouble(tmp_path: Path) -> None:
    (tmp_path / "spans").write_text("a file where a folder should be")
    with pytest.raises(TransientError, match="cannot write a/b"):
        open_storage(f"file:{tmp_path}/spans").put("a/b", b"x")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="nosuch://"):
        open_storage("nosuch://bucket/spans")
