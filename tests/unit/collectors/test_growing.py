from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from collectors.file_source import FileSource
from collectors.formats.tfrecord import masked_crc
from collectors.streams import streams_of
from monitor.clock import ManualClock
from monitor.cuts import Claim
from monitor.errors import TransientError
from tests.unit.collectors.wire.logs import example
from tests.unit.collectors.worlds import START, World, settings


def record(body: bytes) -> bytes:
    length = struct.pack("<Q", len(body))
    return length + struct.pack("<I", masked_crc(length)) + body + struct.pack("<I", masked_crc(body))


def options(folder: Path) -> dict[str, object]:
    return {
        "traffic": {
            "files": str(folder),
            "format": "tf_example",
            "id_feature": "id",
            "time_feature": "at",
            "output": "score",
        },
        "labels": None,
    }


class Reader:
    """A source of one folder with one file."""

    def __init__(self, folder: Path, stored: int | None = None) -> None:
        self.clock = ManualClock()
        self.source = FileSource(streams_of(settings(**options(folder))), self.clock, lambda _: {})
        self.source.discover()
        (partition,) = self.source.unclaimed()
        self.source.start(Claim(partition, stored, 1))

    def read(self) -> list[tuple[int, bytes | None]]:
        self.clock.advance(5)
        found: list[tuple[int, bytes | None]] = []
        while True:
            blocks = self.source.poll(0.0)
            for block in blocks:
                found += zip(block.offsets.tolist(), block.values, strict=True)
            if not blocks and self.source.ends():
                return found


def test_complete_records_are_read_with_their_position(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord").write_bytes(record(b"one") + record(b"") + record(b"three"))
    assert Reader(tmp_path).read() == [(0, b"one"), (19, b""), (35, b"three")]
    assert Reader(tmp_path, stored=19).read() == [(19, b""), (35, b"three")]


@pytest.mark.parametrize("size", [1, 11, 12, 14, 18], ids=lambda size: f"{size} bytes of it")
def test_a_record_that_is_still_being_written_is_read_once_it_is_complete(tmp_path: Path, size: int) -> None:
    path, whole = tmp_path / "a.tfrecord", record(b"two")
    path.write_bytes(record(b"one") + whole[:size])
    reader = Reader(tmp_path)
    assert reader.read() == [(0, b"one")]
    with path.open("ab") as file:
        file.write(whole[size:])
    assert reader.read() == [(19, b"two")]
    assert reader.read() == []


def test_a_packed_file_is_read_by_its_unpacked_position(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord.gz").write_bytes(gzip.compress(record(b"one") + record(b"two")))
    assert Reader(tmp_path, stored=19).read() == [(19, b"two")]


def test_a_packed_file_that_is_cut_off_is_an_error_that_may_pass(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord.gz").write_bytes(gzip.compress(record(b"one"))[:-9])
    with pytest.raises(TransientError, match="cannot be read"):
        Reader(tmp_path).read()


def test_a_damaged_record_has_no_value_and_the_next_is_read(tmp_path: Path) -> None:
    damaged = bytearray(record(b"one"))
    damaged[13] ^= 1
    (tmp_path / "a.tfrecord").write_bytes(bytes(damaged) + record(b"two"))
    assert Reader(tmp_path).read() == [(0, None), (19, b"two")]


def test_behind_a_damaged_length_the_rest_is_one_record_without_value(tmp_path: Path) -> None:
    damaged = bytearray(record(b"two"))
    damaged[0] ^= 1
    (tmp_path / "a.tfrecord").write_bytes(record(b"one") + bytes(damaged) + b"x" * 9_000_000)
    with capture_logs() as logs:
        reader = Reader(tmp_path)
        assert reader.read() == [(0, b"one"), (19, None)]
        assert reader.read() == []
    assert [entry["event"] for entry in logs] == ["a file is damaged"]


def test_a_record_longer_than_a_chunk_is_read(tmp_path: Path) -> None:
    bodies = [b"x" * 9_000_000, b"y", b"z" * 5_000_000]
    (tmp_path / "a.tfrecord").write_bytes(b"".join(map(record, bodies)))
    assert [value for _, value in Reader(tmp_path).read()] == bodies


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 60), max_size=8))
def test_however_a_file_grows_each_record_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], steps: list[int]
) -> None:
    path = tmp_path_factory.mktemp("growing") / "a.tfrecord"
    content = b"".join(map(record, bodies))
    path.write_bytes(b"")
    reader, found, at = Reader(path.parent), [], 0
    for step in [*steps, len(content)]:
        with path.open("ab") as file:
            file.write(content[at : at + step])
        at = min(len(content), at + step)
        found += reader.read()
    assert [value for _, value in found] == bodies


def test_a_folder_of_examples_is_collected_once_with_ids_and_times_from_features(tmp_path: Path) -> None:
    at = START.isoformat().encode()
    bodies = [
        example(id=f"r-{index}".encode(), at=at, distance=index, score=0.5).SerializeToString() for index in range(50)
    ]
    (tmp_path / "a.tfrecord").write_bytes(b"".join(map(record, [*bodies, b"\x0a\x05"])))
    made = World([], settings(**options(tmp_path)))
    for _ in range(2):
        source = FileSource(streams_of(made.options), made.clock, lambda _: {})
        made.collect(source=source)
    assert made.ids() == Counter(f"r-{index}" for index in range(50))
    assert len(made.ledger.dead_letters) == 1
    (table,) = made.tables()
    assert sorted(table.column("feature.distance").to_pylist()) == list(range(50))
    assert set(table.column("prediction").to_pylist()) == {0.5}
