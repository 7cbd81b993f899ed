from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.demo import model
from monitor.demo.flights import CATEGORIES, FEATURES
from monitor.demo.rest import Call, InvalidArgument
from monitor.demo.servable import latest
from monitor.records import LABEL

pytestmark = pytest.mark.slow


def rows(carriers: list[str], humid: list[float | None], labels: list[int | None]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in FEATURES:
        kind = pa.string() if name in CATEGORIES else pa.float64()
        columns[name] = pa.array(["x" if name in CATEGORIES else 1.0] * len(labels), kind)
    columns["carrier"] = pa.array(carriers, pa.string())
    columns["humid"] = pa.array(humid, pa.float64())
    return pa.table({**columns, LABEL: pa.array(labels, pa.int64())})


def test_the_saved_model_takes_raw_features_and_learned_from_them(tmp_path: Path) -> None:
    model.prepare()
    random = np.random.default_rng(1)
    humid = random.uniform(0, 100, 6_000)
    late: list[int | None] = [int(value > 50) for value in humid]
    late[0] = None  # cancelled: no label, and no obstacle
    epochs: list[int] = []
    model.train(rows(["UA"] * 6_000, humid.tolist(), late), tmp_path / "1", epochs.append)
    score = model.load(tmp_path / "1")
    dry, wet, unknown, stranger = score(rows(["UA", "UA", "UA", "??"], [5.0, 95.0, None, 95.0], [None] * 4))
    assert epochs == list(range(1, model.EPOCHS + 1))
    assert dry < 0.3
    assert wet > 0.7
    assert 0 <= unknown <= 1
    assert 0 <= stranger <= 1
    assert wet == round(wet, 6)
    assert len(score(rows([], [], []))) == 0


def call(*carriers: str, by_row: bool = True, **columns: list[Any]) -> Call:
    inputs = {name: np.full(len(carriers), 1.0, np.float32) for name in FEATURES}
    inputs |= {name: np.full(len(carriers), b"x", object) for name in CATEGORIES}
    inputs["carrier"] = np.array([name.encode() for name in carriers], object)
    return Call(
        "serving_default", inputs | {name: np.array(values, np.float32) for name, values in columns.items()}, by_row
    )


def test_a_served_model_gives_each_request_what_it_gives_it_alone(tmp_path: Path) -> None:
    model.prepare()
    random = np.random.default_rng(1)
    humid = random.uniform(0, 100, 600).tolist()
    assert latest(tmp_path) is None
    training = rows(["UA"] * 600, humid, [int(value > 50) for value in humid])
    model.train(training, tmp_path / "2", lambda _: None)
    served = latest(tmp_path)
    assert served is not None
    assert served.version == "2"
    assert served.signatures[served.default].inputs == {
        name: "DT_STRING" if name in CATEGORIES else "DT_FLOAT" for name in FEATURES
    }
    calls = [
        call("UA", humid=[5]),
        call("UA", humid=[[5, 6]]),
        call("UA", "B6", "??", humid=[95, float("nan"), 5]),
        call("UA", by_row=False, humid=[95]),
    ]
    alone = [served.run([one])[0] for one in calls]
    together = served.run(calls)
    score = model.load(tmp_path / "2")(rows(["UA", "B6", "??"], [95, None, 5], [None] * 3))
    (name,) = served.signatures[served.default].outputs
    for at in (0, 2, 3):
        one, other = alone[at], together[at]
        assert not isinstance(one, InvalidArgument)
        assert not isinstance(other, InvalidArgument)
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)
    answered = together[2]
    assert not isinstance(answered, InvalidArgument)
    np.testing.assert_allclose(answered[name].reshape(-1), score, atol=2e-6)
    assert isinstance(together[1], InvalidArgument), "a shape that the model does not take"
