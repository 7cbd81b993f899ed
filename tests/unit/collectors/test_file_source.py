from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from collectors.file_source import FileSource
from collectors.streams import Stream, streams_of
from monitor.clock import ManualClock, SystemClock
from monitor.cuts import Claim
from monitor.errors import TransientError
from tests.unit.collectors.worlds import START, World, record, settings


def lines_stream(folder: Path) -> Stream:
    (stream,) = streams_of(settings(traffic={"files": str(folder)}, labels=None))
    return stream


def read(folder: Path, stored: int | None = None) -> list[tuple[int, bytes]]:
    """Return (offset, line) of the only file of a folder, as far as there is anything to read."""
    source = FileSource([lines_stream(folder)], ManualClock(), lambda _: {})
    source.discover()
    (partition,) = source.unclaimed()
    source.start(Claim(partition, stored, 1))
    found: list[tuple[int, bytes]] = []
    while not source.ends():
        for block in source.poll(0.0):
            found += [(int(offset), value or b"") for offset, value in zip(block.offsets, block.values, strict=True)]
    return found


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b'{"a":1}\n{"b":2}\n', [(0, b'{"a":1}'), (8, b'{"b":2}')], id="two lines"),
        pytest.param(b'{"a":1}\r\n\r\n\n{"b":2}\r\n', [(0, b'{"a":1}'), (12, b'{"b":2}')], id="CRLF and blank lines"),
        pytest.param(b'{"a":1}\n{"b":2}', [(0, b'{"a":1}'), (8, b'{"b":2}')], id="a last line without a line break"),
        pytest.param(b'{"a":1}\n{"b":', [(0, b'{"a":1}')], id="a line that is still being written"),
        pytest.param(b'{"a":{"b":1}', [], id="an object in an object that is still being written"),
        pytest.param(b"", [], id="an empty file"),
    ],
)
def test_complete_lines_are_read_with_their_position(
    tmp_path: Path, content: bytes, lines: list[tuple[int, bytes]]
) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    assert read(tmp_path) == lines


def test_a_packed_file_is_read_on_by_its_unpacked_position(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"a":1}\n{"b":2}\n'))
    assert read(tmp_path) == [(0, b'{"a":1}'), (8, b'{"b":2}')]
    assert read(tmp_path, stored=8) == [(8, b'{"b":2}')]


def test_a_file_larger_than_a_chunk_comes_in_several_blocks_without_loss(tmp_path: Path) -> None:
    lines = [json.dumps({"index": index, "padding": "x" * 1000}).encode() for index in range(9000)]
    lines[4000] = b'{"padding":"' + b"y" * 9_000_000 + b'"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert [value for _, value in read(tmp_path)] == lines


def test_a_growing_file_is_read_on_once_a_line_is_complete(tmp_path: Path) -> None:
    path, clock = tmp_path / "a.jsonl", ManualClock()
    path.write_bytes(b'{"a":1}\n{"b":')
    source = FileSource([lines_stream(tmp_path)], clock, lambda _: {})
    source.discover()
    source.start(Claim(source.unclaimed()[0], None, 1))
    assert [block.values for block in source.poll(0.0)] == [[b'{"a":1}']]
    with path.open("ab") as file:
        file.write(b"2}\n")
    clock.advance(5)
    assert [block.values for block in source.poll(0.0)] == [[b'{"b":2}']]
    clock.advance(5)
    assert list(source.poll(0.0)) == []


def test_a_file_that_was_cut_short_is_a_loss(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a":1}\n')
    source = FileSource([lines_stream(tmp_path)], ManualClock(), lambda _: {})
    source.discover()
    started = source.start(Claim(source.unclaimed()[0], 100, 1))
    assert started.lost is not None
    assert (started.position, started.lost.start, started.lost.end) == (8, 8, 100)


def test_files_that_are_not_there_yet_are_waited_for_and_named_once(tmp_path: Path) -> None:
    source = FileSource([lines_stream(tmp_path / "later")], ManualClock(), lambda _: {})
    with capture_logs() as logs:
        assert list(source.discover()) == []
        assert list(source.discover()) == []
    assert [log["event"] for log in logs] == ["waiting for files"]
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.jsonl").write_bytes(b"{}\n")
    assert len(source.discover()) == 1


def test_a_file_that_vanishes_is_an_error_that_may_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n")
    source = FileSource([lines_stream(tmp_path)], ManualClock(), lambda _: {})
    source.discover()
    path.unlink()
    with pytest.raises(TransientError, match=r"a\.jsonl: cannot be read"):
        source.start(Claim(source.unclaimed()[0], None, 1))


def test_a_collector_over_a_folder_of_lines_commits_each_record_once_over_restarts(tmp_path: Path) -> None:
    for number in range(3):
        values = [record(number * 100 + index) for index in range(100)]
        (tmp_path / f"{number}.jsonl").write_bytes(b"\n".join(values))
    world = World([], settings(traffic={"files": str(tmp_path)}, labels=None))
    for _ in range(2):
        world.collect(source=FileSource(streams_of(world.options), SystemClock(), world.ledger.column_types))
    assert world.ids() == Counter({f"r-{index}": 1 for index in range(300)})


def table(first: int, rows: int) -> pa.Table:
    return pa.table(
        {
            "id": [f"r-{first + index}" for index in range(rows)],
            "ts": pa.array([START.replace(tzinfo=None)] * rows, pa.timestamp("us")),
            "distance": [float(index) for index in range(rows)],
            "carrier": ["UA"] * rows,
            "score": [0.5] * rows,
            "new": [[1, 2]] * rows,
        }
    )


def test_a_collector_over_tables_reads_on_at_the_row_it_has_committed(tmp_path: Path) -> None:
    columns = {"id": "id", "timestamp": "ts", "prediction": "score", "version": "3"}
    options = settings(traffic={"files": str(tmp_path), "format": "table", "columns": columns}, labels=None)
    world = World([], options)
    pq.write_table(table(0, 50), tmp_path / "0.parquet")
    world.collect(source=FileSource(streams_of(options), SystemClock(), world.ledger.column_types))
    pq.write_table(table(50, 30), tmp_path / "1.parquet")
    world.collect(source=FileSource(streams_of(options), SystemClock(), world.ledger.column_types))
    assert world.ids() == Counter({f"r-{index}": 1 for index in range(80)})
    assert {span.version for span in world.ledger.spans} == {"3"}
    first = world.tables()[0].to_pylist()[0]
    assert (first["feature.carrier"], first["prediction"], first["untyped"]) == ("UA", 0.5, '{"new":[1,2]}')
    assert first["event_time"] == START


def test_rows_in_the_middle_of_a_table_are_skipped_when_they_are_committed(tmp_path: Path) -> None:
    columns = {"id": "id", "timestamp": "ts"}
    options = settings(traffic={"files": str(tmp_path), "format": "table", "columns": columns}, labels=None)
    pq.write_table(table(0, 50), tmp_path / "0.parquet")
    source = FileSource(streams_of(options), ManualClock(), lambda _: {})
    source.discover()
    source.start(Claim(source.unclaimed()[0], 20, 1))
    (block,) = source.poll(0.0)
    assert (block.start, block.end, len(block)) == (20, 50, 30)
    assert block.table is not None
    assert block.table.column("id")[0].as_py() == "r-20"
