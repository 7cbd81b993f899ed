"""A SavedModel put where TensorFlow Serving looks for versions, whole or not at all.

Changes with how folders are replaced safely.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from functools import partial
from pathlib import Path

from monitor.errors import InputError, TransientError
from monitor.outside.serving import EnsureAllowed, always_allowed

_CHUNK_BYTES = 1 << 24


def lies_there(base: Path, version: int) -> bool:
    """Say whether there is a folder of a version."""
    return (base / str(version)).exists()


def place(
    folder: Path,
    base: Path,
    version: int,
    leave: frozenset[str] = frozenset(),
    ensure_allowed: EnsureAllowed = always_allowed,
) -> None:
    """Copy a SavedModel to `base/version`; does nothing where the very same lies there.

    TensorFlow Serving takes folders whose name is a number, as soon as it sees them: the copy is made under a hidden name, and
    renamed when all of it is on disk. A copy that an earlier try left behind is made anew.

    Args:
        folder: the SavedModel.
        base: folder of the versions.
        version: number of this one.
        leave: names of files in `folder` that are not copied.
        ensure_allowed: asked while the copy is made, and before it gets its name; what it raises is raised.

    Raises:
        InputError: something else lies there, or the folder of versions is not there.
        TransientError: a disk does not take it.
    """
    target = base / str(version)
    if target.exists():
        if target.resolve() != folder.resolve() and not _same(folder, target, leave):
            raise InputError(f"{target}: another model lies there; versions are never overwritten")
        return
    if not base.is_dir():
        raise InputError(
            f"{base}: there is no such folder; is `canary.tf_serving.base_path` what this machine calls it?"
        )
    hidden = base / f".{version}.incoming"
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        shutil.copytree(
            folder,
            hidden,
            ignore=lambda where, names: leave & set(names) if Path(where) == folder else set(),
            copy_function=partial(_copy, ensure_allowed),
        )
        for path in [*hidden.rglob("*"), hidden]:
            _sync(path)
        ensure_allowed()
        hidden.rename(target)
        _sync(base)
    except (OSError, shutil.Error) as error:
        raise TransientError(f"{target}: the candidate cannot be copied there: {_reason(error)}") from error


def _copy(ensure_allowed: EnsureAllowed, source: str, target: str) -> None:
    with open(source, "rb") as whole, open(target, "wb") as copy:  # noqa: PTH123 - copytree gives texts
        while chunk := whole.read(_CHUNK_BYTES):
            ensure_allowed()
            copy.write(chunk)
    shutil.copystat(source, target)


def take_away(base: Path, version: int) -> None:
    """Delete a version's folder; TensorFlow Serving never sees a part of it. Does nothing where there is none.

    Raises:
        TransientError: a disk does not answer.
    """
    target, hidden = base / str(version), base / f".{version}.outgoing"
    try:
        if target.exists():
            shutil.rmtree(hidden, ignore_errors=True)
            target.rename(hidden)
            _sync(base)
        shutil.rmtree(hidden, ignore_errors=True)
    except OSError as error:
        raise TransientError(f"{target}: the candidate cannot be taken away: {_reason(error)}") from error


def _same(folder: Path, target: Path, leave: frozenset[str]) -> bool:
    ours, theirs = _files(folder) - leave, _files(target) - leave
    return ours == theirs and all(filecmp.cmp(folder / name, target / name, shallow=False) for name in ours)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: OSError | shutil.Error) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
