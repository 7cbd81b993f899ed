"""Where a candidate model lies: what a trainer reports, held against the one folder that settings allow.

Changes with where candidates may lie. A report is somebody else's text: it names a folder below `candidates`, or is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from monitor.errors import ConfigError, InputError, TransientError

SAVED_MODEL = "saved_model.pb"
MOST_FILES = 10_000
"""Files of a candidate; a SavedModel has some ten, and one of many shards some hundred."""

_LONGEST = 1_024
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that is there.

    Attributes:
        folder: with `saved_model.pb`, on this machine.
        place: the same below `candidates`, as `flights/42`.
        files, size_bytes: what it is made of.
        digest: SHA-256 of the names and contents of its files, in order of their names.
    """

    folder: Path
    place: str
    files: int
    size_bytes: int
    digest: str


@contextmanager
def resolved(candidates: str, report: Mapping[str, Any], most_bytes: int) -> Iterator[Candidate]:
    """Find a candidate; one that is not on this machine is fetched into a folder that is deleted again.

    Args:
        candidates: the folder that settings allow: a path, `file:PATH`, or what fsspec knows.
        report: what the trainer says; `uri` is the folder, or the one above it that holds a folder named for `version`.
        most_bytes: that it may have.

    Raises:
        InputError: it lies elsewhere, is not there, is no SavedModel, or is too large; in one line, for the record.
        TransientError: the place cannot be reached now.
        ConfigError: `candidates` is of a kind that cannot be used here.
    """
    version = report.get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version) or ".." in version:
        raise InputError("the candidate has no version of letters, digits, `.`, `_`, `+` and `-`")
    parts = below(candidates, report.get("uri"))
    root = _local(candidates)
    if root is not None:
        yield _of_folder(root, parts, version, most_bytes)
        return
    with tempfile.TemporaryDirectory(prefix="driftline-candidate-") as folder:
        yield _fetched(candidates, parts, version, most_bytes, Path(folder))


def below(candidates: str, uri: object) -> list[str]:
    """Return the names of folders from `candidates` down to what was reported; raises InputError where it is elsewhere."""
    if not isinstance(uri, str) or not uri or len(uri) > _LONGEST:
        raise InputError("the candidate has no `uri` of at most 1,024 characters")
    rest = _after(uri, candidates)
    if rest is None:
        raise InputError("the candidate lies outside the configured `candidates`")
    parts = rest.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InputError("the candidate's `uri` must name a folder under `candidates`, without `.`, `..` or `//`")
    if not all(part.isprintable() and "\\" not in part for part in parts):
        raise InputError("the candidate's `uri` holds characters that no name of a folder has here")
    return parts


def _after(uri: str, candidates: str) -> str | None:
    """Return the path below `candidates`: of a URI or path that begins like it, or a relative one; else None."""
    root = _local(candidates)
    is_file = root is not None and uri.startswith("file:")
    path = _path(uri) if is_file else uri
    bases = [candidates] if root is None else [_path(candidates), str(root), os.path.realpath(root)]
    for base in bases:
        start = base.rstrip("/") + "/"
        if path.startswith(start):
            return path[len(start) :]
    return None if is_file or path.startswith("/") or _SCHEME.match(path) else path


def _local(candidates: str) -> Path | None:
    return Path(_path(candidates)).absolute() if urlsplit(candidates).scheme in {"", "file"} else None


def _path(candidates: str) -> str:
    """Return the path that `open_storage` takes such a URI for."""
    if candidates.startswith("file://"):
        return unquote(candidates.removeprefix("file://"))
    return unquote(candidates.removeprefix("file:")) if candidates.startswith("file:") else candidates


def _of_folder(root: Path, parts: list[str], version: str, most_bytes: int) -> Candidate:
    try:
        real = root.resolve(strict=True)
    except OSError as error:
        raise TransientError(f"candidates: cannot be read ({error.strerror or error})") from error
    place = "/".join(parts)
    try:
        folder = real.joinpath(*parts).resolve(strict=True)
        if not folder.is_relative_to(real):
            raise InputError(f"the candidate {place} lies outside the configured `candidates`, where a link leads")
        if not (folder / SAVED_MODEL).exists() and (folder / version / SAVED_MODEL).is_file():
            folder, place = (folder / version).resolve(strict=True), f"{place}/{version}"
        if not folder.is_relative_to(real):
            raise InputError(f"the candidate {place} lies outside the configured `candidates`, where a link leads")
        return _counted(folder, place, most_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"the candidate {place} is not there") from error
    except (OSError, RuntimeError) as error:
        # A loop of links is a RuntimeError in Python 3.11 and 3.12, an OSError later.
        raise InputError(f"the candidate {place} cannot be read") from error


def _counted(folder: Path, place: str, most_bytes: int) -> Candidate:
    """Return a folder as a candidate, once all that is in it was looked at."""
    if not folder.is_dir():
        raise InputError(f"the candidate {place} is no folder")
    found: list[Path] = []
    size = 0
    for path in sorted(folder.rglob("*")):
        kind = path.lstat().st_mode
        if stat.S_ISLNK(kind):
            if not path.resolve(strict=True).is_relative_to(folder):
                raise InputError(f"the candidate {place} holds a link that leads out of it")
            kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            continue
        if not stat.S_ISREG(kind):
            raise InputError(f"the candidate {place} holds something that is neither a file nor a folder")
        found.append(path)
        size += path.stat().st_size
        _check_size(place, len(found), size, most_bytes)
    if folder / SAVED_MODEL not in found:
        raise InputError(f"the candidate {place} has no {SAVED_MODEL}: it is no SavedModel")
    return Candidate(folder, place, len(found), size, _digest(folder, found))


def _check_size(place: str, files: int, size: int, most_bytes: int) -> None:
    if files > MOST_FILES:
        raise InputError(f"the candidate {place} has more than {MOST_FILES:,} files")
    if size > most_bytes:
        raise InputError(f"the candidate {place} is larger than {most_bytes / 2**20:,.0f} MiB")


def _digest(folder: Path, files: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return whole.hexdigest()


def _fetched(candidates: str, parts: list[str], version: str, most_bytes: int, into: Path) -> Candidate:
    scheme = urlsplit(candidates).scheme
    try:
        filesystem, root = fsspec.core.url_to_fs(candidates)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"candidates: cannot use {scheme}:// here: {error}") from error
    place = "/".join(parts)
    try:
        base = f"{root.rstrip('/')}/{place}"
        if not filesystem.exists(f"{base}/{SAVED_MODEL}") and filesystem.exists(f"{base}/{version}/{SAVED_MODEL}"):
            base, place = f"{base}/{version}", f"{place}/{version}"
        listed = filesystem.find(base, detail=True)
        size = sum(int(each.get("size") or 0) for each in listed.values())
        _check_size(place, len(listed), size, most_bytes)
        _fetch(filesystem, base, sorted(listed), place, most_bytes, into)
    except FileNotFoundError as error:
        raise InputError(f"the candidate {place} is not there") from error
    except (InputError, TransientError):
        raise
    except Exception as error:
        # Each driver has errors of its own, whose texts may hold addresses and keys.
        raise TransientError(f"candidates: {scheme}:// cannot be read ({type(error).__name__})") from error
    return _counted(into, place, most_bytes)


def _fetch(filesystem: Any, base: str, names: list[str], place: str, most_bytes: int, into: Path) -> None:
    """Copy files; their sizes are counted again while they come, since a listing may be wrong or old."""
    if not names:
        raise InputError(f"the candidate {place} is not there")
    left = most_bytes
    for name in names:
        rest = name.removeprefix(base).removeprefix("/")
        parts = rest.split("/")
        if not name.startswith(base + "/") or any(part in ("", ".", "..") for part in parts):
            raise InputError(f"the candidate {place} holds a file whose name leads out of it")
        target = into.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with filesystem.open(name, "rb") as source, target.open("xb") as copy:
            while chunk := source.read(_CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise InputError(f"the candidate {place} is larger than {most_bytes / 2**20:,.0f} MiB")
                copy.write(chunk)
