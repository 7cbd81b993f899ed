from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.demo import model
from monitor.demo.flights import CATEGORIES, FEATURES
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
