"""The file with TensorFlow Serving's model config, changed by several programs; changes with how files are replaced safely."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import InputError, TransientError

_TRIES = 10


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A text file that its reader always finds whole: the one before, or the one after."""

    path: Path

    def read(self) -> str:
        """Return the text; raises InputError where there is none."""
        try:
            return self.path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: the model config cannot be read: {_reason(error)}") from error

    def rewrite(self, change: Callable[[str], str]) -> str:
        """Replace the text by what `change` makes of it, and return that; nothing is written where that is the same.

        What others of this program write at the same time waits. What other programs write is noticed up to the very moment of
        the replacement, and `change` is then asked again. Whatever `change` raises is raised, and the file left alone.

        Raises:
            InputError: the file cannot be read, or its folder not be written.
            TransientError: somebody else writes it again and again.
        """
        try:
            # A link is what the file's place is named by (a mounted volume): what it points to is replaced, not the link.
            place = self.path.resolve(strict=True)
            with _locked(place.parent):
                return self._replaced(place, change)
        except OSError as error:
            raise InputError(f"{self.path}: the model config cannot be written: {_reason(error)}") from error

    def _replaced(self, place: Path, change: Callable[[str], str]) -> str:
        for _ in range(_TRIES):
            before = self.read()
            after = change(before)
            if after == before:
                return before
            written = _written_beside(place, after)
            try:
                if self.read() == before:
                    written.replace(place)
                    _sync_folder(place.parent)
                    return after
            finally:
                written.unlink(missing_ok=True)
        raise TransientError(f"{self.path}: somebody else writes the model config all the time")


def _written_beside(place: Path, text: str) -> Path:
    """Return a new file with the text, on disk, with owner and mode of the old one."""
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        known = place.stat()
        os.fchmod(file.fileno(), known.st_mode & 0o7777)
        with suppress(PermissionError):  # only root gives files away; TensorFlow Serving reads it by its mode then
            os.fchown(file.fileno(), known.st_uid, known.st_gid)
        os.fsync(file.fileno())
    return Path(name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, which needs no file that would be left behind."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
