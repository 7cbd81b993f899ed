"""Span files on a local folder (durably, refusing to overwrite) or on any fsspec URI."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from monitor.cuts import SpanStorage
from monitor.errors import ConfigError, TransientError


def open_storage(uri: str) -> SpanStorage:
    """Return the storage at `uri`: a path, `file:PATH`, `file:///PATH`, or what fsspec knows (`s3://bucket/folder`, ...).

    Raises:
        ConfigError: no such kind of storage, or its driver is not installed.
    """
    scheme = urlsplit(uri).scheme
    if scheme in {"", "file"}:
        path = unquote(uri.removeprefix("file://") if uri.startswith("file://") else uri.removeprefix("file:"))
        return FolderStorage(Path(path))
    try:
        filesystem, root = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"spans.uri: cannot use {scheme}:// here: {error}") from error
    return FsspecStorage(filesystem, root)


class FolderStorage:
    """Files below a local folder."""

    def __init__(self, root: Path) -> None:
        """Use `root`, which is made when the first file is written."""
        self._root = root

    def put(self, name: str, content: bytes) -> None:
        """Write a new file and its folder entry to the disk itself; what cannot be finished is removed."""
        path = self._root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        except FileExistsError:
            raise
        except OSError as error:
            raise TransientError(f"spans: cannot write {name}: {error.strerror}") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            raise TransientError(f"spans: cannot write {name}: {error.strerror}") from error

    def get(self, name: str) -> bytes:
        """Return a file's content; raises FileNotFoundError."""
        return (self._root / name).read_bytes()

    def delete(self, name: str) -> None:
        """Delete a file; a missing one is no error."""
        (self._root / name).unlink(missing_ok=True)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that start with `prefix`, in any order."""
        for folder, _, files in os.walk(self._root):
            for file in files:
                name = (Path(folder) / file).relative_to(self._root).as_posix()
                if name.startswith(prefix):
                    yield name


class FsspecStorage:
    """Files below a root of any fsspec file system; names are unique, so a check before writing is put-if-absent."""

    def __init__(self, filesystem: Any, root: str) -> None:
        """Use `root` on `filesystem`."""
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def put(self, name: str, content: bytes) -> None:
        """Write a new file in one call, which object stores make visible whole or not at all."""
        path = f"{self._root}/{name}"
        if self._filesystem.exists(path):
            raise FileExistsError(name)
        try:
            self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._filesystem.pipe_file(path, content)
        except OSError as error:
            raise TransientError(f"spans: cannot write {name}: {error}") from error

    def get(self, name: str) -> bytes:
        """Return a file's content; raises FileNotFoundError."""
        content: bytes = self._filesystem.cat_file(f"{self._root}/{name}")
        return content

    def delete(self, name: str) -> None:
        """Delete a file; a missing one is no error."""
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(f"{self._root}/{name}")

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that start with `prefix`, in any order."""
        for path in self._filesystem.find(self._root):
            name = str(path).removeprefix(f"{self._root}/")
            if name.startswith(prefix):
                yield name


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
