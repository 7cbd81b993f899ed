"""Tables from files: what people have lying about, read as they would expect, or refused in one line."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import crc32c
import fsspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from collectors.files import iter_tables, matching_files, open_tables, read_table
from monitor.errors import InputError
from monitor.records import FeatureType, ValueType
from monitor.window.conform import Origin, origin_of

TEXT = FeatureType(ValueType.BYTES)


def write(folder: Path, **contents: str | bytes) -> Path:
    """Write files; `__` in a name stands for the dot, `_in_` for a slash."""
    for name, content in contents.items():
        path = folder / name.replace("_in_", "/").replace("__", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def masked(data: bytes) -> int:
    crc = crc32c.crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(*records: bytes) -> bytes:
    """Return records as TensorFlow's RecordWriter frames them."""
    parts = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += [length, struct.pack("<I", masked(length)), record, struct.pack("<I", masked(record))]
    return b"".join(parts)


def field(number: int, content: bytes) -> bytes:
    """Return one length-delimited protobuf field of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def example(**features: list[int] | list[float] | list[str]) -> bytes:
    """Return a tf.Example, written by hand after its proto: no TensorFlow here."""
    entries = b""
    for name, values in features.items():
        if all(isinstance(value, str) for value in values):
            kind = field(1, b"".join(field(1, str(value).encode()) for value in values))
        elif all(isinstance(value, float) for value in values):
            kind = field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
        else:
            kind = field(3, field(1, bytes(int(value) for value in values)))
        entries += field(1, field(1, name.encode()) + field(2, kind))
    return field(1, entries)


def test_all_formats_and_compressions_hold_the_same_table(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": 0.5, "c": "x"}, {"a": 2, "b": None, "c": None}]
    expected = pa.Table.from_pylist(rows)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    text = "a,b,c\n1,0.5,x\n2,,\n"
    examples = framed(example(a=[1], b=[0.5], c=["x"]), example(a=[2]))
    write(
        tmp_path,
        t__csv=text,
        t__tsv=text.replace(",", "\t"),
        semi__csv=text.replace(",", ";"),
        t__jsonl=lines,
        t__tfrecord=examples,
    )
    write(
        tmp_path,
        t__csv__gz=gzip.compress(text.encode()),
        data_00001_of_00012__gz=gzip.compress(examples),
        plain=text,
        lines=lines,
    )
    parquet.write_table(expected, tmp_path / "t.parquet")
    parquet.write_table(expected, tmp_path / "no_suffix")
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("inside.csv", text)
    for path in sorted(tmp_path.iterdir()):
        table = read_table(str(path))
        assert table.to_pylist() == rows, path.name
        assert table.schema.types == expected.schema.types, path.name


def test_folders_globs_and_uris_name_files_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write(tmp_path, b__csv="x\n2\n", a__csv="x\n1\n", sub_in_c__csv="x\n3\n", _SUCCESS="", __hidden="x\n9\n")
    for uri, expected in [
        (str(tmp_path), [1, 2, 3]),
        (f"{tmp_path}/*.csv", [1, 2]),
        (f"file://{tmp_path}/b.csv", [2]),
        (f"{tmp_path}/[ab].csv", [1, 2]),
    ]:
        assert read_table(uri)["x"].to_pylist() == expected, uri
    with fsspec.open("memory://driftline-test/x.csv", "wb") as stream:
        stream.write(b"x\n7\n")
    assert read_table("memory://driftline-test/*.csv")["x"].to_pylist() == [7]


def test_a_path_with_the_signs_of_a_glob_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "data[1].csv").write_text("x\n1\n")
    assert [file.name for file in matching_files(f"{tmp_path}/data[1].csv")] == [f"{tmp_path}/data[1].csv"]


@pytest.mark.parametrize(
    ("first", "second", "values"),
    [
        pytest.param("1", "2.5", [1.0, 2.5], id="whole numbers and fractions are fractions"),
        pytest.param("007", "00A", ["007", "00A"], id="numbers and text are text as it was written"),
        pytest.param("NA", "3", [None, 3], id="a missing mark among numbers is missing"),
        pytest.param("NA", "DE", ["NA", "DE"], id="NA among text is Namibia"),
        pytest.param("true", "False", [1, 0], id="truth values are 1 and 0"),
        pytest.param("true", "2", ["true", "2"], id="truth values and numbers are text"),
        pytest.param("", "x", [None, "x"], id="an empty cell is missing"),
        pytest.param('""', "5", [None, 5], id="an empty cell in quotes is missing"),
        pytest.param('" 5"', "+6", [5, 6], id="blanks and plus signs are no matter"),
        pytest.param("2013-01-31", "2013-02-01", ["2013-01-31", "2013-02-01"], id="dates keep their text"),
        pytest.param("1e400", "-inf", [float("inf"), float("-inf")], id="infinities are numbers"),
        pytest.param('"a\nb"', "c", ["a\nb", "c"], id="a cell may hold a line end"),
        pytest.param("99999999999999999999", "1", [1e20, 1.0], id="numbers beyond int64 are fractions"),
    ],
)
def test_a_csv_column_has_one_type_over_all_files(tmp_path: Path, first: str, second: str, values: list[Any]) -> None:
    write(tmp_path, a__csv=f"x,y\n{first},1\n", b__csv=f"x,y\n{second},1\n")
    assert read_table(str(tmp_path))["x"].to_pylist() == values
    assert [x for batch in iter_tables(str(tmp_path)) for x in batch["x"].to_pylist()] == values


def test_what_is_known_to_be_text_stays_text_in_csv(tmp_path: Path) -> None:
    write(tmp_path, a__csv="zip,n\n00712,1\n")
    table = read_table(str(tmp_path), types={"zip": TEXT})
    assert table.to_pylist() == [{"zip": "00712", "n": 1}]
    assert origin_of(table.schema.field("zip")) is Origin.CSV


def test_files_may_have_different_columns_and_pandas_indexes_are_dropped(tmp_path: Path) -> None:
    write(tmp_path, a__csv=",x\n0,1\n", b__csv="x,new\n2,z\n")
    assert read_table(str(tmp_path)).to_pylist() == [{"x": 1, "new": None}, {"x": 2, "new": "z"}]
    parquet.write_table(pa.table({"x": [1], "__index_level_0__": [17]}), tmp_path / "p.parquet")
    assert read_table(f"{tmp_path}/p.parquet").column_names == ["x"]


@pytest.mark.parametrize(
    ("lines", "values", "origin"),
    [
        pytest.param(['{"x": 1}', '{"x": 2.5}'], [1.0, 2.5], Origin.TYPED, id="numbers"),
        pytest.param(['{"x": NaN}', '{"x": -Infinity}'], [None, float("-inf")], Origin.TYPED, id="NaN is missing"),
        pytest.param(['{"x": true}', '{"x": 7}'], [1, 7], Origin.TYPED, id="truth values beside numbers"),
        pytest.param(['{"x": ""}', "", "{}"], ["", None], Origin.TYPED, id="empty text, blank lines and absent keys"),
        pytest.param(
            ['{"x": "2013-01-31T00:00:00Z"}'], ["2013-01-31T00:00:00Z"], Origin.TYPED, id="times keep their text"
        ),
        pytest.param(['{"x": [1, null]}', '{"x": 2}'], [[1], [2]], Origin.TYPED, id="lists and values of one type"),
        pytest.param(
            ['{"x": 5}', '{"x": "5"}'], ["5", '"5"'], Origin.JSON, id="values of several types are JSON texts"
        ),
    ],
)
def test_json_lines_mean_what_they_say(tmp_path: Path, lines: list[str], values: list[Any], origin: Origin) -> None:
    write(tmp_path, x__jsonl="\n".join(lines))
    table = read_table(str(tmp_path))
    assert table["x"].to_pylist() == values
    assert origin_of(table.schema.field("x")) is origin


def test_json_types_may_change_from_file_to_file(tmp_path: Path) -> None:
    write(tmp_path, a__jsonl='{"x": 5}\n', b__jsonl='{"x": "v"}\n', c__jsonl='{"x": [1, 2]}\n')
    assert read_table(str(tmp_path))["x"].to_pylist() == ["5", '"v"', "[1, 2]"]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b"]),
            st.one_of(
                st.none(),
                st.integers(-(2**70), 2**70),
                st.floats(),
                st.text(),
                st.lists(st.integers(0, 9)),
                st.booleans(),
            ),
        )
    )
)
def test_any_json_values_can_be_read(rows: list[dict[str, Any]]) -> None:
    with fsspec.open("memory://driftline-test/any.jsonl", "wb") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    table = read_table("memory://driftline-test/any.jsonl")
    assert table.num_rows == (len(rows) if any(rows) else 0)


def test_examples_are_scalars_where_no_row_holds_more(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__tfrecord=framed(example(one=[1], many=["x", "y"]), example(many=[])),
        b__tfrecord=framed(example(one=[2])),
    )
    assert read_table(str(tmp_path)).to_pylist() == [
        {"many": ["x", "y"], "one": 1},
        {"many": [], "one": None},
        {"many": None, "one": 2},
    ]


def test_a_real_tfx_pipelines_examples_are_those_of_its_csv(shared_data: Path) -> None:
    folder = shared_data / "chicago_taxi"
    train, evaluation = (read_table(str(folder / "csv_example_gen" / split)) for split in ("Split-train", "Split-eval"))
    source = read_table(str(folder / "simple_data.csv"))
    # example_gen splits by hash: two thirds and one third of the CSV's 15,002 rows, two of which it drops as empty.
    assert (train.num_rows, evaluation.num_rows, source.num_rows) == (9909, 5091, 15002)
    assert set(train.column_names) == set(source.column_names)
    assert train.schema.field("company").type == source.schema.field("company").type == pa.string()
    both = sorted([*train["trip_start_timestamp"].to_pylist(), *evaluation["trip_start_timestamp"].to_pylist()])
    assert set(both) <= set(source["trip_start_timestamp"].to_pylist())


def test_batches_are_the_table_in_pieces_of_bounded_size(shared_data: Path) -> None:
    for name in ("chicago_taxi/simple_data.csv", "chicago_taxi/csv_example_gen/Split-eval"):
        uri = str(shared_data / name)
        batches = list(iter_tables(uri, 1000))
        assert max(batch.num_rows for batch in batches) <= 1000
        assert pa.concat_tables(batches).equals(read_table(uri))


def test_parquet_batches_can_be_of_some_columns(tmp_path: Path) -> None:
    when = datetime(2013, 1, 31, tzinfo=UTC)
    parquet.write_table(pa.table({"ts": [when], "b": [b"text"], "x": [1]}), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"ts": [when], "b": [b"\xff"], "x": [0.5]}), tmp_path / "b.parquet")
    tables = open_tables(str(tmp_path))
    assert [batch.to_pydict() for batch in tables.batches(columns=["ts"])] == [{"ts": [when]}] * 2
    assert pa.concat_tables(tables.batches()).to_pydict() == {
        "ts": [when] * 2,
        "b": [b"text", b"\xff"],
        "x": [1.0, 0.5],
    }
    with pytest.raises(InputError, match="no column 'when'; the columns are: ts, b, x"):
        list(tables.batches(columns=["when"]))


def test_files_without_rows_are_tables_without_rows(tmp_path: Path) -> None:
    write(tmp_path, head__csv="a,b\n", none__jsonl="", none__tfrecord__gz=gzip.compress(b""))
    assert read_table(f"{tmp_path}/head.csv").to_pydict() == {"a": [], "b": []}
    assert read_table(f"{tmp_path}/none.jsonl").num_rows == 0
    assert read_table(f"{tmp_path}/none.tfrecord.gz").num_rows == 0
    assert list(iter_tables(f"{tmp_path}/none.jsonl")) == []
    write(tmp_path, shards_in_a__csv="a\n1\n", shards_in_b__csv="")
    assert read_table(f"{tmp_path}/shards").to_pydict() == {"a": [1]}


GOOD = framed(example(a=[1]), example(a=[2]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("x.csv", b"", "the file is empty", id="an empty file"),
        pytest.param("x.csv", b"\n\n", "empty where the line with the column names", id="no header"),
        pytest.param("x.csv", b"a,a\n1,2\n", "column 'a' is named twice", id="a column named twice"),
        pytest.param("x.csv", b"a,b\n1,2\n1\n", "Expected 2 columns, got 1", id="a row that is too short"),
        pytest.param("x.csv", b"a,b\n1,\xff\n", "UTF8", id="text of another encoding"),
        pytest.param(
            "x.csv.gz", gzip.compress(b"a\n" + b"1\n" * 10_000)[:-20], "cannot be read", id="a gzip that is cut off"
        ),
        pytest.param("x.parquet", b"PAR1 and then nothing", "cannot be read as Parquet", id="a damaged Parquet file"),
        pytest.param("x.jsonl", b'{"a": 1}\n{"a": \n', "line 2: no JSON", id="a line that is no JSON"),
        pytest.param("x.json", b'[{"a": 1}]', "line 1: a JSON list where an object should be", id="a JSON array"),
        pytest.param("x.jsonl", b'{"a": {"b": 1}}', "column 'a' holds nested objects", id="a nested object"),
        pytest.param("x.jsonl", b'{"a": [[1]]}\n{"a": 5}', "column 'a' holds lists of lists", id="a list of lists"),
        pytest.param("x.tfrecord", GOOD[:-3], "cut off in record 2", id="a record that is cut off"),
        pytest.param(
            "x.tfrecord", GOOD[:-5] + b"\x00" + GOOD[-4:], "record 2 has a wrong checksum", id="a damaged record"
        ),
        pytest.param(
            "x.tfrecord", b"no record at all", "record 1 has a wrong checksum of its length", id="no TFRecord"
        ),
        pytest.param(
            "x.tfrecord", framed(b"\xff\xff"), "records 1 to 1 cannot be read as tf.Example", id="other messages"
        ),
        pytest.param(
            "notes", b"just some words\n", "neither Parquet, CSV, JSON Lines nor TFRecord", id="something else"
        ),
        pytest.param(
            "blob", bytes(range(256)), "neither Parquet, CSV, JSON Lines nor TFRecord", id="binary of no known kind"
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_table, lambda uri: list(iter_tables(uri))):
        with pytest.raises(InputError, match=message) as caught:
            read(str(path))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("{}/nothing", "there is no such file or folder", id="nothing there"),
        pytest.param("{}/*.parquet", "no files there", id="a glob that matches nothing"),
        pytest.param("{}/empty", "no files there", id="an empty folder"),
        pytest.param(
            "{}/mixed", "a.csv is CSV, but .*b.jsonl is JSON Lines; name files of one format", id="mixed formats"
        ),
        pytest.param(
            "{}/types", "column 'x' is of type string here and int64 before", id="types that contradict each other"
        ),
        pytest.param("nonsense://x", "this kind of location cannot be opened", id="an unknown protocol"),
    ],
)
def test_a_location_that_cannot_be_used_is_named(tmp_path: Path, uri: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path, mixed_in_a__csv="x\n1\n", mixed_in_b__jsonl='{"x": 1}\n', types_in_skip="")
    (tmp_path / "types" / "skip").unlink()
    parquet.write_table(pa.table({"x": [1]}), tmp_path / "types" / "a.parquet")
    parquet.write_table(pa.table({"x": ["v"]}), tmp_path / "types" / "b.parquet")
    with pytest.raises(InputError, match=message):
        read_table(uri.format(tmp_path))
