"""Slices of all examples at once, against TFMA's, which asks one example after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import InputError
from monitor.evaluate.examples import Examples, Outcomes
from monitor.evaluate.slicing import memberships

SPECS = (
    "{}",
    '{ feature_keys: "city" }',
    '{ feature_keys: "city" feature_keys: "hour" }',
    '{ feature_values { key: "city" value: "oslo" } }',
    '{ feature_values { key: "hour" value: "1" } feature_keys: "city" }',
    '{ feature_values { key: "fare" value: "2.5" } }',
    '{ feature_keys: "tags" }',
    '{ feature_keys: "tags" feature_keys: "city" }',
    '{ feature_values { key: "tags" value: "b" } feature_keys: "hour" }',
    '{ feature_keys: "nowhere" }',
    '{ feature_values { key: "code" value: "7" } }',
    '{ feature_keys: "fare" }',
)


def _config(*specs: str, more: str = "") -> Any:
    from tensorflow_model_analysis.proto import config_pb2

    text = "\n".join(f"slicing_specs {spec}" for spec in specs)
    return text_format.Parse(text + more, config_pb2.EvalConfig())


def _examples(rows: list[dict[str, Any]]) -> Examples:
    def column(name: str, kind: pa.DataType) -> pa.Array:
        return pa.array([row.get(name) for row in rows], kind)

    return Examples(
        {("", ""): Outcomes(np.zeros(len(rows)), np.zeros(len(rows)))},
        {
            "city": column("city", pa.string()),
            "hour": column("hour", pa.int64()),
            "fare": column("fare", pa.float64()),
            "tags": column("tags", pa.list_(pa.string())),
            "code": column("code", pa.string()),
        },
    )


def _ours(examples: Examples, config: Any) -> list[set[Any]]:
    found: list[set[Any]] = [set() for _ in range(len(examples))]
    for membership in memberships(examples, config):
        rows = range(len(membership.codes)) if membership.rows is None else membership.rows
        for row, code in zip(rows, membership.codes, strict=True):
            if code >= 0:
                assert membership.keys[code] not in found[row], "an example counts in a slice once"
                found[row].add(membership.keys[code])
    return found


def _theirs(rows: list[dict[str, Any]], config: Any) -> list[set[Any]]:
    from tensorflow_model_analysis.slicer import slicer_lib

    specs = [slicer_lib.SingleSliceSpec(spec=spec) for spec in config.slicing_specs] or [slicer_lib.SingleSliceSpec()]
    features = [
        {
            name: np.array(value if isinstance(value, list) else [value])
            for name, value in row.items()
            if value is not None and value != []
        }
        for row in rows
    ]
    return [set(slicer_lib.get_slices_for_features_dicts([], each, specs)) for each in features]


row = st.fixed_dictionaries(
    {
        "city": st.sampled_from(["oslo", "rome", None]),
        "hour": st.sampled_from([0, 1, 2, None]),
        "fare": st.sampled_from([2.5, 7.0, None]),
        "tags": st.lists(st.sampled_from("abc"), max_size=3) | st.none(),
        "code": st.sampled_from(["7", "x", None]),
    }
)


@settings(deadline=None)
@given(rows=st.lists(row, min_size=1, max_size=8), specs=st.lists(st.sampled_from(SPECS), max_size=4))
def test_every_example_is_in_the_slices_that_tfma_puts_it_in(rows: list[dict[str, Any]], specs: list[str]) -> None:
    config = _config(*specs)
    assert _ours(_examples(rows), config) == _theirs(rows, config)


def test_cross_slices_ask_for_their_slices_too() -> None:
    config = _config("{}", more='cross_slicing_specs { baseline_spec {} slicing_specs { feature_keys: "city" } }')
    assert _ours(_examples([{"city": "oslo"}]), config) == [{(), (("city", "oslo"),)}]


def test_sql_makes_slices_as_in_tfma() -> None:
    sql = "slice_keys_sql: \"SELECT STRUCT(city) FROM example.city WHERE city != b'rome'\""
    found = _ours(_examples([{"city": "oslo"}, {"city": "rome"}, {}]), _config(f"{{ {sql} }}"))
    assert found == [{(), (("city", "oslo"),)}, {()}, {()}]


def test_sql_that_cannot_be_read_is_told_in_one_line() -> None:
    with pytest.raises(InputError, match="slice_keys_sql cannot be answered: ") as told:
        memberships(_examples([{"city": "oslo"}]), _config('{ slice_keys_sql: "SELECT nonsense" }'))
    assert "\n" not in str(told.value)


def test_a_column_of_dates_makes_no_slices() -> None:
    examples = _examples([{"city": "oslo"}])
    dated = Examples(examples.outcomes, {"day": pa.array([0], pa.date32())})
    with pytest.raises(InputError, match="column 'day' of type date32"):
        memberships(dated, _config('{ feature_keys: "day" }'))


def test_no_examples_are_in_no_slice() -> None:
    assert memberships(_examples([]), _config("{}", '{ feature_keys: "city" }')) == []
