"""`driftline skew` on files: TFDV's own test cases, TFDV itself as the oracle, and what users have lying about.

The cases are those of tensorflow_data_validation/skew/feature_skew_detector_test.py; names and numbers are theirs.
"""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from collectors.formats.tfrecord import masked_crc
from monitor.compare.row_skew.comparison import SkewOptions
from monitor.compare.row_skew.report import RowSkew
from monitor.errors import InputError
from monitor.jobs.row_skew import compare_files

Driftline = Callable[..., Any]
Example = Mapping[str, Sequence[int] | Sequence[float] | Sequence[bytes] | None]
"""Feature name to its values; None is a feature without any, of no type."""

IDS = ("id1", "id2")


def _field(number: int, content: bytes) -> bytes:
    """Return one length-delimited protobuf field of fewer than 2^14 bytes."""
    size = len(content)
    return bytes([number << 3 | 2]) + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + content


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes(written) + bytes([value])


def _feature(values: Any) -> bytes:
    if values is None:
        return b""
    if values and isinstance(values[0], bytes):
        return _field(1, b"".join(_field(1, value) for value in values))
    if values and isinstance(values[0], float):
        return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(3, _field(1, b"".join(map(_varint, values))) if values else b"")


def serialized(example: Example) -> bytes:
    """Return a tf.Example as its proto says, without TensorFlow."""
    entries = (_field(1, _field(1, name.encode()) + _field(2, _feature(values))) for name, values in example.items())
    return _field(1, b"".join(entries))


def write_examples(path: Path, examples: Sequence[Example]) -> str:
    """Write a TFRecord file and return its name."""
    framed = []
    for example in examples:
        record = serialized(example)
        length = struct.pack("<Q", len(record))
        framed += [length, struct.pack("<I", masked_crc(length)), record, struct.pack("<I", masked_crc(record))]
    path.write_bytes(b"".join(framed))
    return str(path)


def their_input(*, skewed: bool, close: bool) -> tuple[list[Example], list[Example]]:
    """Return baseline and test examples of TFDV's `get_test_input`."""
    shared: list[dict[str, Any]] = [{"id1": [i], "id2": [1], "no_skew": [1]} for i in range(2)]
    base = [each | {"ignore": [0]} for each in shared]
    test = [each | {"ignore": [1]} for each in shared]
    for one, other in zip(base, test, strict=True):
        if close:
            one["close_float"], other["close_float"] = [1.12345], [1.12456]
        if skewed:
            one["skewed"], other["skewed"] = [0], [1]
            one["base_only"], other["test_only"] = [0], [1]
    return list(base), list(test)


def texts(*rows: tuple[str, str, str]) -> list[Example]:
    """Return examples of TFDV's `_make_ex`: id, value_skew, value_noskew; an empty one is left out."""
    names = ("id", "value_skew", "value_noskew")
    return [{name: [text.encode()] for name, text in zip(names, row, strict=True) if text} for row in rows]


@dataclass(frozen=True)
class Case:
    """Examples, options, and the counts that TFDV's test expects.

    `features` are base, test, match, base only, test only, mismatch and diff counts, in the order of TFDV's message.
    """

    base: Sequence[Example]
    test: Sequence[Example]
    features: Mapping[str, tuple[int, ...]]
    keys: tuple[str, ...] = ("id",)
    ignore: tuple[str, ...] = ()
    options: SkewOptions = field(default_factory=SkewOptions)


SKEWED = {
    "skewed": (2, 2, 0, 0, 0, 2, 2),
    "base_only": (2, 0, 0, 2, 0, 0, 2),
    "test_only": (0, 2, 0, 0, 2, 0, 2),
    "no_skew": (2, 2, 2, 0, 0, 0, 0),
}
TWO_OF_ONE_ID: tuple[list[Example], list[Example]] = (
    [{"id": [1], "val": [100]}, {"id": [1], "val": [50]}],
    [{"id": [1], "val": [100], "val2": [100]}],
)
ALL_PAIRS = SkewOptions(duplicates=True)
CASES = {
    "detect_feature_skew": Case(
        *their_input(skewed=True, close=True), SKEWED | {"close_float": (2, 2, 0, 0, 0, 2, 2)}, IDS, ("ignore",)
    ),
    "detect_no_skew": Case(
        *their_input(skewed=False, close=False), {"no_skew": (2, 2, 2, 0, 0, 0, 0)}, IDS, ("ignore",)
    ),
    "float_precision_configuration": Case(
        *their_input(skewed=True, close=True),
        SKEWED | {"close_float": (2, 2, 2, 0, 0, 0, 0)},
        IDS,
        ("ignore",),
        SkewOptions(digits=2),
    ),
    "empty_base": Case([], their_input(skewed=True, close=True)[1], {}, IDS, ("ignore",)),
    "empty_test": Case(their_input(skewed=True, close=True)[0], [], {}, IDS, ("ignore",)),
    "empty_base_and_test": Case([], [], {}, IDS, ("ignore",)),
    "duplicate_identifiers_allowed_with_duplicates": Case(
        *TWO_OF_ONE_ID, {"val": (2, 2, 1, 0, 0, 1, 1), "val2": (0, 2, 0, 0, 2, 0, 2)}, options=ALL_PAIRS
    ),
    "duplicate_identifiers_not_allowed_with_duplicates": Case(*TWO_OF_ONE_ID, {}),
    "skips_missing_identifier_example": Case(
        [{"id": None, "val": [100]}], [{"id": [1], "val": [100]}], {}, options=ALL_PAIRS
    ),
    "empty_features_equivalent": Case(
        [{"id": [1], "val": None}], [{"id": [1], "val": None}], {"val": (0, 0, 1, 0, 0, 0, 0)}, options=ALL_PAIRS
    ),
    "empty_features_not_equivalent_to_missing": Case(
        [{"id": [1], "val": None}], [{"id": [1]}], {"val": (0, 0, 0, 0, 0, 0, 0)}, options=ALL_PAIRS
    ),
}


def compared(folder: Path, base: Sequence[Example], test: Sequence[Example], case: Case) -> RowSkew:
    paths = write_examples(folder / "base.tfrecord", base), write_examples(folder / "test.tfrecord", test)
    return compare_files(*paths, keys=case.keys, ignore=case.ignore, options=case.options)


def counts(skew: RowSkew) -> dict[str, tuple[int, ...]]:
    names = ("base_count", "test_count", "match_count", "base_only", "test_only", "mismatch_count", "diff_count")
    return {each.feature: tuple(int(getattr(each, name)) for name in names) for each in skew.features}


@pytest.mark.parametrize("name", CASES)
def test_the_counts_of_tfdvs_own_case(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    skew = compared(tmp_path, case.base, case.test, case)
    assert counts(skew) == case.features
    assert not any(each.explanations for each in skew.features), "two rows prove nothing"


def test_an_example_is_skewed_when_a_feature_is(tmp_path: Path) -> None:
    case = CASES["detect_feature_skew"]
    assert compared(tmp_path, case.base, case.test, case).skewed_pairs == 2
    same = CASES["detect_no_skew"]
    assert compared(tmp_path, same.base, same.test, same).skewed_pairs == 0


def test_tfdvs_case_no_identifier_features(tmp_path: Path) -> None:
    base, test = their_input(skewed=False, close=False)
    with pytest.raises(InputError, match="no key column"):
        compared(tmp_path, base, test, Case(base, test, {}, keys=()))


def test_tfdvs_case_telemetry(tmp_path: Path) -> None:
    stats = compared(tmp_path, [{"id1": [1], "id2": [2]}], [{"id1": [1], "id2": None}], Case([], [], {}, IDS)).stats
    assert (stats.base_missing_id_count, stats.test_missing_id_count) == (0, 1)


def test_tfdvs_case_match_stats(tmp_path: Path) -> None:
    base = texts(*((each, "", "") for each in ("id0", "id0", "id1", "id4", "")))
    test = texts(*((each, "", "") for each in ("id0", "id0", "id2", "id3", "id4", "", "")))
    assert compared(tmp_path, base, test, Case(base, test, {})).stats.to_json() == {
        "base_with_id_count": 4,
        "test_with_id_count": 5,
        "identifiers_count": 5,
        "ids_missing_in_base_count": 2,
        "ids_missing_in_test_count": 1,
        "matching_pairs_count": 5,
        "base_missing_id_count": 1,
        "test_missing_id_count": 2,
        "duplicate_id_count": 1,
    }


def test_tfdvs_case_confusion_analysis(tmp_path: Path) -> None:
    base = texts(
        *(("id0", "foo", "foo"), ("id1", "foo", "foo"), ("id2", "foo", "foo"), ("id3", "foo", "foo")),
        *(("id4", "bar", "bar"), ("id5", "bar", "bar"), ("id6", "baz", "baz"), ("id7", "zip", "zap")),
    )
    test = texts(
        *(("id0", "foo", "foo"), ("id1", "zim", "foo"), ("id2", "foo", "foo"), ("id3", "bar", "foo")),
        *(("id4", "bar", "bar"), ("id5", "foo", "bar"), ("id6", "baz", "baz"), ("id7", "", "zap")),
    )
    options = SkewOptions(confusion=("value_skew", "value_noskew"))
    skew = compared(tmp_path, base, test, Case(base, test, {}, options=options))
    assert {(each.base, each.test, each.feature, each.count) for each in skew.confusion} == {
        *((b"foo", b"foo", "value_noskew", 4), (b"bar", b"bar", "value_noskew", 2)),
        *((b"baz", b"baz", "value_noskew", 1), (b"zap", b"zap", "value_noskew", 1)),
        *((b"foo", b"foo", "value_skew", 2), (b"foo", b"zim", "value_skew", 1), (b"foo", b"bar", "value_skew", 1)),
        *((b"bar", b"bar", "value_skew", 1), (b"bar", b"foo", "value_skew", 1), (b"baz", b"baz", "value_skew", 1)),
        (b"zip", b"__MISSING_VALUE__", "value_skew", 1),
    }


@pytest.mark.parametrize("values", [[100], [0.5], [b"foo", b"bar"]])
def test_tfdvs_case_confusion_analysis_errors(values: Any, tmp_path: Path) -> None:
    examples: list[Example] = [{"id": [1], "val": values}]
    with pytest.raises(InputError, match="confusion is counted of"):
        compared(tmp_path, examples, examples, Case([], [], {}, options=SkewOptions(confusion=("val",))))


def random_examples(rng: np.random.Generator, rows: int) -> list[Example]:
    """Return examples with keys that repeat, are missing or are on one side only, and features of every kind and presence."""
    examples: list[Example] = []
    for _ in range(rows):
        example: dict[str, Any] = {
            "number": [int(rng.integers(0, 3))],
            "close": [float(np.float32(rng.integers(0, 4) / 8 + rng.choice([0, 0.001])))],
            "signed": [float(rng.choice([-0.004, 0.0, 0.004, np.nan]))],
            "text": [rng.choice([b"a", b"b", b"\xff"]).item()],
            "list": [float(each) for each in rng.integers(0, 2, rng.integers(0, 3))] or None,
            "ignored": [int(rng.integers(0, 9))],
            "typed": [1] if rng.random() < 0.5 else [],
        }
        kept: dict[str, Any] = {name: values for name, values in example.items() if rng.random() < 0.8}
        if rng.random() < 0.95:
            kept["id"] = [int(rng.integers(0, rows))]
        examples.append(kept)
    return examples


@pytest.mark.slow
@pytest.mark.parametrize(("digits", "duplicates"), [(None, False), (None, True), (2, True)])
def test_tfdv_counts_the_same_on_random_examples(digits: int | None, duplicates: bool, tmp_path: Path) -> None:
    tf, beam, util, detector = (
        importlib.import_module(name)
        for name in (
            "tensorflow",
            "apache_beam",
            "apache_beam.testing.util",
            "tensorflow_data_validation.skew.feature_skew_detector",
        )
    )
    rng = np.random.default_rng(11)
    base, test = random_examples(rng, 300), random_examples(rng, 300)
    options = SkewOptions(digits=digits, duplicates=duplicates)
    skew = compared(tmp_path, base, test, Case(base, test, {}, ignore=("ignored",), options=options))
    assert skew.pairs > 40
    assert any(each.mismatch_count for each in skew.features)

    def same_features(found: Sequence[Any]) -> None:
        names = ("base_count", "test_count", "match_count", "base_only", "test_only", "mismatch_count", "diff_count")
        assert {each.feature_name: tuple(getattr(each, name) for name in names) for each in found} == counts(skew)

    def same_stats(found: Sequence[Any]) -> None:
        (stats,) = found
        assert {name: getattr(stats, name) for name in skew.stats.to_json()} == skew.stats.to_json()

    def same_skewed(found: Sequence[Any]) -> None:
        assert len(found) == skew.skewed_pairs

    with beam.Pipeline("DirectRunner") as pipeline:
        sides = tuple(
            pipeline | name >> beam.Create([tf.train.Example.FromString(serialized(each)) for each in examples])
            for name, examples in (("base", base), ("test", test))
        )
        found = sides | detector.DetectFeatureSkewImpl(
            ["id"],
            ["ignored"],
            sample_size=1_000_000,
            float_round_ndigits=digits,
            allow_duplicate_identifiers=duplicates,
        )
        util.assert_that(found[detector.SKEW_RESULTS_KEY], same_features, label="features")
        util.assert_that(found[detector.MATCH_STATS_KEY], same_stats, label="stats")
        util.assert_that(found[detector.SKEW_PAIRS_KEY], same_skewed, label="pairs")


@pytest.fixture
def trips(tmp_path: Path) -> Path:
    """Folder with trips as training had them, and as they were served: in miles, upper case, and with a default for tips."""
    rng = np.random.default_rng(5)
    rows = 500
    kilometres = np.round(rng.lognormal(1, 0.7, rows), 3)
    tips: list[float | None] = [None if row % 5 == 0 else round(float(rng.gamma(2, 2)), 2) for row in range(rows)]
    cities = rng.choice(["Austin", "Boston", "Chicago"], rows)
    training = pa.table(
        {
            "trip": pa.array([f"{row:04}" for row in range(rows)]),
            "distance": kilometres,
            "tip": pa.array(tips),
            "city": cities,
            "noise": rng.normal(size=rows),
            "same": rng.integers(0, 9, rows),
        }
    )
    parquet.write_table(training, tmp_path / "training.parquet")
    served = training.to_pylist()
    for row in served:
        row["distance"] /= 1.609344
        row["city"] = row["city"].upper()
        row["tip"] = -1.0 if row["tip"] is None else row["tip"]
        row["noise"] = float(rng.normal())
    rng.shuffle(served)
    (tmp_path / "served.jsonl").write_text("".join(json.dumps(row) + "\n" for row in served))
    csv.write_csv(pa.Table.from_pylist(served), tmp_path / "served.csv")
    return tmp_path


@pytest.mark.parametrize("served", ["served.jsonl", "served.csv"])
def test_what_explains_that_served_features_differ(driftline: Driftline, trips: Path, served: str) -> None:
    sides = ("--training", trips / "training.parquet", "--served", trips / served)
    ran = driftline("skew", *sides, "--key", "trip", "--format", "json")
    assert ran.code == 3, ran.stderr
    found = json.loads(ran.stdout, parse_constant=pytest.fail)
    assert (found["verdict"], found["pairs"], found["skewed_pairs"]) == ("mismatch", 500, 500)
    features = {each["feature"]: each for each in found["features"]}
    kinds = {name: [each["kind"] for each in feature["explanations"]] for name, feature in features.items()}
    assert kinds == {"distance": ["unit"], "city": ["case"], "tip": ["default_fill"], "noise": [], "same": []}
    assert features["tip"]["test_only"] == 100
    assert features["tip"]["explanations"][0]["parameters"]["value"] == -1
    assert features["same"]["match_count"] == 500
    assert features["city"]["examples"][0]["key"] == ["0000"]


def test_a_report_for_people(driftline: Driftline, trips: Path) -> None:
    sides = ("--training", trips / "training.parquet", "--served", trips / "served.jsonl")
    ran = driftline("skew", *sides, "--key", "trip", "--ignore", "noise")
    assert ran.code == 3
    assert ran.stdout.startswith(" MISMATCH   3 of 4 features differ, in 500 of 500 pairs of rows\n")
    for told in (
        "kilometres in training, miles in",
        "upper and lower case",
        "where training has no value, served has -1",
    ):
        assert told in " ".join(ran.stdout.split())


def test_the_same_rows_match_whatever_the_format(driftline: Driftline, trips: Path) -> None:
    sides = ("--training", trips / "served.jsonl", "--served", trips / "served.csv")
    ran = driftline("skew", *sides, "--key", "trip", "--output", trips / "report.txt")
    assert (ran.code, ran.stdout) == (0, "")
    assert (trips / "report.txt").read_text().startswith(" MATCH   5 features are the same in 500 pairs of rows\n")


@pytest.mark.parametrize(
    ("key", "code", "told"),
    [
        ("nothing", 2, "there is no column 'nothing' for the key; the columns are: trip, "),
        ("", 2, "no key column is named"),
        ("same", 4, "9 keys with several rows are left out"),
    ],
)
def test_keys_that_join_nothing(driftline: Driftline, trips: Path, key: str, code: int, told: str) -> None:
    sides = ("--training", trips / "training.parquet", "--served", trips / "served.jsonl")
    ran = driftline("skew", *sides, "--key", key)
    assert ran.code == code
    assert told in " ".join((ran.stdout + ran.stderr).split())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--ignore", "tipp"), "there is no column 'tipp' to ignore"),
        (("--confusion", "same"), "holds no text"),
        (("--ignore", "trip"), "'trip' is a key"),
        (("--float-digits", "-1"), "Invalid value"),
        (("--output", "/nowhere/report"), "cannot be written"),
    ],
)
def test_slips_are_one_line(driftline: Driftline, trips: Path, options: tuple[str, str], told: str) -> None:
    sides = ("--training", trips / "training.parquet", "--served", trips / "served.jsonl")
    ran = driftline("skew", *sides, "--key", "trip", *options)
    assert ran.code == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_formats_say_the_same_in_their_own_words(trips: Path) -> None:
    (trips / "typed.jsonl").write_text(
        '{"key": "007", "code": "01", "mixed": 1, "list": [1, 2]}\n{"key": "008", "code": "02", "mixed": "x", "list": []}\n'
    )
    (trips / "plain.csv").write_text("key,code,mixed\n007,01,1\n008,02,x\n")
    skew = compare_files(
        str(trips / "typed.jsonl"), str(trips / "plain.csv"), keys=["key"], ignore=[], options=SkewOptions()
    )
    assert {each.feature: (each.match_count, each.base_only) for each in skew.features} == {
        "code": (2, 0),
        "mixed": (2, 0),
        "list": (0, 1),
    }


@pytest.mark.parametrize(("content", "code"), [("", 4), ('{"trip": {"a": 1}}\n', 2), ('{"trip": [1, 2]}\n', 2)])
def test_served_files_that_cannot_be_joined(driftline: Driftline, trips: Path, content: str, code: int) -> None:
    (trips / "odd.jsonl").write_text(content)
    sides = ("--training", trips / "training.parquet", "--served", trips / "odd.jsonl")
    ran = driftline("skew", *sides, "--key", "trip")
    assert ran.code == code
    assert "Traceback" not in ran.stderr


def test_columns_are_read_in_groups_that_fit_memory(trips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = (str(trips / "training.parquet"), str(trips / "served.csv"))
    whole = compare_files(*sides, keys=["trip"], ignore=[], options=SkewOptions())
    monkeypatch.setattr("monitor.jobs.row_skew._CELLS", 1)
    monkeypatch.setattr("monitor.jobs.row_skew_sides._SMALL_BYTES", 0)
    assert compare_files(*sides, keys=["trip"], ignore=[], options=SkewOptions()) == whole


def test_groups_of_tf_examples_are_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["detect_feature_skew"]
    monkeypatch.setattr("monitor.jobs.row_skew._CELLS", 1)
    monkeypatch.setattr("monitor.jobs.row_skew_sides._SMALL_BYTES", 0)
    assert counts(compared(tmp_path, case.base, case.test, case)) == case.features


def test_real_trips_and_the_csv_that_they_were_made_of(shared_data: Path, tmp_path: Path) -> None:
    taxi = shared_data / "chicago_taxi"
    keys = ("trip_start_timestamp", "trip_seconds", "trip_miles", "fare", "pickup_latitude", "dropoff_latitude")
    skew = compare_files(
        str(taxi / "csv_example_gen" / "Split-train"),
        str(taxi / "simple_data.csv"),
        keys=keys,
        ignore=["tips"],
        options=SkewOptions(),
    )
    assert skew.pairs > 1000
    assert [each.feature for each in skew.features if each.mismatch_count] == []
