from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from monitor.errors import InputError
from monitor.profile.derived.recognise import kinds_of, vector_size
from monitor.records import Rows

PNG = b"\x89PNG\r\n\x1a\n"
ROWS = 120
NUMBERS = range(ROWS)
SENTENCES = [f"This is the sentence with number {i}, and it is all text" for i in NUMBERS]

CASES: Mapping[str, tuple[list[Any], str]] = {
    "sentences": (SENTENCES, "text"),
    "sentences, half of them missing": ([s if i % 2 else None for i, s in enumerate(SENTENCES)], "text"),
    "sentences without spaces": ([f"食物非常好吃{chr(0x4E00 + i)}" for i in NUMBERS], "text"),
    "few sentences that come again": ([SENTENCES[i % 10] for i in NUMBERS], "values"),
    "UUIDs": ([str(uuid.UUID(int=i * 2**90)) for i in NUMBERS], "values"),
    "addresses of pages": ([f"https://shop.example/a/long/path/of/words/{i}" for i in NUMBERS], "values"),
    "times": ([f"2013-01-{i % 28 + 1:02} 05:{i % 60:02}:00" for i in NUMBERS], "values"),
    "numbers in a string": ([f"{i} {i + 1} {i + 2} {i + 3} {i + 4}" for i in NUMBERS], "values"),
    "names": ([f"Anna Smith{i}" for i in NUMBERS], "values"),
    "too few sentences": (SENTENCES[:20] + [None] * (ROWS - 20), "values"),
    "embeddings": ([[float(i)] * 8 for i in NUMBERS], "vector"),
    "embeddings, some missing": ([None if i % 3 else [float(i)] * 8 for i in NUMBERS], "vector"),
    "short lists": ([[float(i)] * 3 for i in NUMBERS], "values"),
    "lists of several lengths": ([[float(i)] * (8 + i % 2) for i in NUMBERS], "values"),
    "lists of words": ([["a"] * 8 for _ in NUMBERS], "values"),
    "images": ([PNG + bytes([255, i]) for i in NUMBERS], "image"),
    "mostly images": ([PNG + b"\xff" if i % 10 else b"\xff" for i in NUMBERS], "image"),
    "bytes": ([bytes([255, i]) for i in NUMBERS], "values"),
    "numbers": ([float(i) for i in NUMBERS], "values"),
    "nothing": ([None] * ROWS, "values"),
}


def _rows(label: str | None = None, **columns: list[Any]) -> Rows:
    arrays = {name: pa.array(values) for name, values in columns.items()}
    return Rows(
        pa.table({name: a.cast(pa.string()) if pa.types.is_null(a.type) else a for name, a in arrays.items()}),
        label=label,
    )


def _schema(feature: str) -> bytes:
    schema: Any = schema_pb2.Schema()
    text_format.Parse(f'feature {{ name: "x" {feature} }}', schema)
    return bytes(schema.SerializeToString())


@pytest.mark.parametrize("case", CASES)
def test_what_a_column_looks_like(case: str) -> None:
    values, kind = CASES[case]
    assert kinds_of(_rows(x=values), None, {}).get("x", "values") == kind


@pytest.mark.parametrize(
    ("domain", "values", "kind"),
    [
        ("type: BYTES natural_language_domain {}", ["one", "two"], "text"),
        ("type: BYTES image_domain {}", [b"\xff", b"\xfe"], "image"),
        ("type: FLOAT float_domain { is_embedding: true }", [[1.0, 2.0], [3.0, 4.0]], "vector"),
        ("type: FLOAT float_domain { is_embedding: true }", [1.0, 2.0], "values"),
        ("type: INT int_domain { is_categorical: true }", [[1] * 9, [2] * 9], "values"),
        ('type: BYTES string_domain { value: "a" }', SENTENCES, "values"),
        ('type: BYTES domain: "words"', SENTENCES, "values"),
        ("type: BYTES", SENTENCES, "text"),
    ],
    ids=["language", "image", "embedding", "no embedding", "categorical", "domain", "shared domain", "no domain"],
)
def test_the_schema_comes_before_the_look(domain: str, values: list[Any], kind: str) -> None:
    assert kinds_of(_rows(x=values), _schema(domain), {}).get("x", "values") == kind


def test_a_person_comes_before_the_schema() -> None:
    schema = _schema("type: BYTES natural_language_domain {}")
    assert kinds_of(_rows(x=SENTENCES), schema, {"x": "values"}) == {}
    assert kinds_of(_rows(x=["a", "b"]), None, {"x": "text"}) == {"x": "text"}
    assert kinds_of(_rows(x=[[1], [2]]), None, {"x": "vector"}) == {"x": "vector"}


@pytest.mark.parametrize(
    ("kind", "values"), [("text", [1.0]), ("vector", ["a"]), ("image", [[1.0]]), ("vector", [[], None])]
)
def test_a_kind_that_cannot_be_is_an_error(kind: str, values: list[Any]) -> None:
    with pytest.raises(InputError, match=f"'x' is set to be {kind}"):
        kinds_of(
            Rows(pa.table({"x": pa.array(values, None if values != [[], None] else pa.list_(pa.float64()))})),
            None,
            {"x": kind},
        )


def test_a_column_whose_derived_names_are_taken_stays_as_it_is() -> None:
    rows = Rows(pa.table({"x": SENTENCES, "x.length": list(NUMBERS)}))
    assert kinds_of(rows, None, {}) == {}
    with pytest.raises(InputError, match=r"'x\.length'"):
        kinds_of(rows, None, {"x": "text"})


def test_the_label_is_never_derived_from() -> None:
    assert kinds_of(_rows(x=SENTENCES, label="x"), None, {}) == {}


def test_the_commonest_length_is_that_of_the_vectors() -> None:
    assert vector_size(pa.array([[1.0] * 4] * 3 + [[1.0] * 9] * 2 + [None, []])) == 4
    assert vector_size(pa.array([None, []], pa.list_(pa.float64()))) == 0
    assert vector_size(pa.array([np.ones(3), None], pa.list_(pa.float64(), 3))) == 3
