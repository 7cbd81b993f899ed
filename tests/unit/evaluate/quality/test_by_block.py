"""Quality block by block: the same as evaluating each block by itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.examples import Examples, Outcomes
from monitor.evaluate.quality.by_block import blocks_of
from monitor.evaluate.quality.direction import Worse, directions
from monitor.evaluate.quality.reference import block_of

CONFIG = text_format.Parse(
    """
    model_specs { label_key: "label" prediction_key: "prediction" }
    slicing_specs {} slicing_specs { feature_keys: "city" }
    metrics_specs {
      metrics { class_name: "ExampleCount" } metrics { class_name: "AUC" config: '"name": "roc"' }
      metrics { class_name: "BinaryCrossEntropy" }
    }
    options { compute_confidence_intervals { value: true } }
    """,
    config_pb2.EvalConfig(),
)


def test_blocks_are_what_each_block_is_by_itself() -> None:
    random = np.random.default_rng(0)
    rows = 600
    examples = Examples(
        {("", ""): Outcomes(random.integers(0, 2, rows).astype(float), random.random(rows))},
        {"city": pa.array(random.choice(["oslo", "rome"], rows))},
    )
    times = random.integers(0, 3, rows) * 10 + 5
    blocks = blocks_of(examples, times, 10, CONFIG)
    plain = config_pb2.EvalConfig()
    plain.CopyFrom(CONFIG)
    plain.ClearField("options")
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        alone = block_of(evaluate(examples.take(np.flatnonzero(times // 10 == number)), plain))
        assert block.keys() == alone.keys()
        for name, (size, metrics) in block.items():
            assert size == alone[name][0]
            assert metrics == pytest.approx(alone[name][1])


def test_metrics_get_worse_by_their_class_whatever_they_are_called() -> None:
    found = {key.name: direction for key, direction in directions(CONFIG).items()}
    assert found == {"example_count": None, "roc": Worse.LOWER, "binary_crossentropy": Worse.HIGHER}
