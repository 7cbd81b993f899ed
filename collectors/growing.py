"""Files that may still be written: their complete lines or records, by position in bytes; changes with how files grow.

Positions count unpacked bytes for .gz, which are read as they are found: a packed file must not grow.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from collectors.files import DataFile
from collectors.formats.tfrecord import masked_crc
from monitor.errors import TransientError

_CHUNK_BYTES: Final = 4 * 2**20
_LONGEST_RECORD: Final = 256 * 2**20
_GROWTH_CHECK_SECONDS: Final = 1.0
_HEAD: Final = struct.Struct("<QI")
_CRC: Final = struct.Struct("<I")

_log = structlog.get_logger("driftline.files")


@dataclass(slots=True)
class _Growing:
    """One file that is read from a position on."""

    file: DataFile
    position: int
    seen_bytes: int = -1
    """Size of the file when its end was last reached."""
    check_at: float = 0.0
    stream: Any = None

    @property
    def at_end(self) -> bool:
        """Whether nothing was left when it was last looked at."""
        return self.stream is None and self.seen_bytes >= 0

    def _grown(self, now: float) -> bool:
        if now < self.check_at:
            return False
        self.check_at = now + _GROWTH_CHECK_SECONDS
        size = size_of(self.file)
        grown = size != self.seen_bytes
        self.seen_bytes = size
        return grown

    def _open(self) -> Any:
        if self.stream is None:
            stream = self.file.filesystem.open(self.file.path, "rb")
            self.stream = gzip.GzipFile(fileobj=stream) if self.file.path.endswith(".gz") else stream
            self.stream.seek(self.position)
        return self.stream

    def _close(self, now: float) -> None:
        self.stream.close()
        self.stream = None
        self.check_at = now + _GROWTH_CHECK_SECONDS


@dataclass(slots=True)
class Lines(_Growing):
    """Reads complete lines."""

    def read(self, now: float) -> tuple[int, list[int], list[bytes | None]]:
        """Return the new position, and where each new line starts with its bytes; blank lines are left out."""
        if self.stream is None and not self._grown(now):
            return self.position, [], []
        stream = self._open()
        data, ended = b"", False
        while not ended and b"\n" not in data[-_CHUNK_BYTES:]:
            more = stream.read(_CHUNK_BYTES)
            data += more
            ended = len(more) < _CHUNK_BYTES
        complete = data.rfind(b"\n") + 1
        if ended and _whole_object(data[complete:]):
            complete = len(data)
        if ended:
            self._close(now)
        else:
            stream.seek(self.position + complete)
        starts: list[int] = []
        lines: list[bytes | None] = []
        at = self.position
        for line in data[:complete].split(b"\n"):
            if line.strip():
                starts.append(at)
                lines.append(line.rstrip(b"\r"))
            at += len(line) + 1
        self.position += complete
        return self.position, starts, lines


@dataclass(slots=True)
class Records(_Growing):
    """Reads complete TFRecord records; a damaged one has no value, and after a damaged length the rest is one such record."""

    def read(self, now: float) -> tuple[int, list[int], list[bytes | None]]:
        """Return the new position, and where each new record starts with its bytes."""
        if self.stream is None and not self._grown(now):
            return self.position, [], []
        stream = self._open()
        data = stream.read(_CHUNK_BYTES)
        ended = len(data) < _CHUNK_BYTES
        starts: list[int] = []
        values: list[bytes | None] = []
        at = 0
        while True:
            size = _record_size(data, at)
            if size is None and not ended and not starts:
                more = stream.read(_CHUNK_BYTES)  # one record is longer than what was read
                data += more
                ended = len(more) < _CHUNK_BYTES
                continue
            if size is None:
                break
            starts.append(self.position + at)
            if size < 0:
                _log.error("a file is damaged", file=self.file.name, position=self.position + at)
                values.append(None)
                at = len(data)
                while not ended:
                    more = len(stream.read(_CHUNK_BYTES))
                    at += more
                    ended = more < _CHUNK_BYTES
                break
            body = data[at + _HEAD.size : at + size - _CRC.size]
            values.append(body if masked_crc(body) == _CRC.unpack_from(data, at + size - _CRC.size)[0] else None)
            at += size
        self.position += at
        if ended:
            self._close(now)
        else:
            stream.seek(self.position)
        return self.position, starts, values


def _record_size(data: bytes, at: int) -> int | None:
    """Return the size of the record at `at` with its frame, None where it is not complete, -1 where its length is damaged."""
    if len(data) - at < _HEAD.size:
        return None
    length, crc = _HEAD.unpack_from(data, at)
    if masked_crc(data[at : at + 8]) != crc or length > _LONGEST_RECORD:
        return -1
    size = int(_HEAD.size + length + _CRC.size)
    return size if len(data) - at >= size else None


def size_of(file: DataFile) -> int:
    """Return the size of a file as it is stored; raises TransientError."""
    try:
        file.filesystem.invalidate_cache(file.path)
        return int(file.filesystem.size(file.path) or 0)
    except OSError as error:
        raise TransientError(f"{file.name}: cannot be read ({error.strerror or type(error).__name__})") from error


def _whole_object(line: bytes) -> bool:
    """Say whether an unfinished line is a whole record: nothing that begins a longer object is one itself."""
    if not line.rstrip().endswith(b"}"):
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
