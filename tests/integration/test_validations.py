"""Custom validations by TFDV's own SQL engine, and attributions of a real SavedModel; both import TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from monitor.compare.validations.judging import rule_findings
from monitor.errors import ConfigError, InputError
from monitor.profile import tfdv
from monitor.profile.explaining import permutation_attributions, saved_model_predict
from monitor.profile.validations import RuleResult, State, custom_validations, parse_custom_validations

WINDOW = tfdv.statistics(pa.table({"fare": [1.0, 2.0, 3.0], "origin": ["EWR", "JFK", "EWR"]}))
TRAINING = tfdv.statistics(pa.table({"fare": [1.0, 2.0, 30.0], "origin": ["EWR", "JFK", "LGA"]}))


def _single(feature: str, sql: str, more: str = "severity: ERROR description: 'why'") -> RuleResult:
    text = f"feature_validations {{ feature_path {{ step: '{feature}' }} validations {{ sql_expression: '{sql}' {more} }} }}"
    (result,) = custom_validations(parse_custom_validations(text.encode()), WINDOW, {})
    return result


def _pair(sql: str, bases: dict[str, bytes], base: str = "") -> RuleResult:
    named = f"base_dataset_name: '{base}'" if base else ""
    text = f"""feature_pair_validations {{
      {named} feature_test_path {{ step: 'fare' }} feature_base_path {{ step: 'fare' }}
      validations {{ sql_expression: '{sql}' severity: WARNING }} }}"""
    (result,) = custom_validations(parse_custom_validations(text.encode()), WINDOW, bases)
    return result


@pytest.mark.parametrize(
    ("feature", "sql", "state", "detail"),
    [
        ("fare", "feature.num_stats.mean > 1", State.HOLDS, ""),
        ("fare", "feature.num_stats.mean > 100", State.BROKEN, ""),
        (
            "origin",
            "(SELECT MAX(b.sample_count) FROM UNNEST(feature.string_stats.rank_histogram.buckets) b) < 2",
            State.BROKEN,
            "",
        ),
        ("far", "feature.num_stats.mean > 1", State.UNUSABLE, "Feature far specified in validation config not found"),
        ("fare", "feature.num_stats.average > 1", State.UNUSABLE, "does not have a field called average"),
        ("fare", "feature.num_stats.mean", State.UNUSABLE, "non-bool"),
        ("fare", "feature.string_stats.unique > 1", State.UNUSABLE, "null"),
    ],
)
def test_tfdv_evaluates_its_own_validations(feature: str, sql: str, state: State, detail: str) -> None:
    result = _single(feature, sql)
    assert result.state is state
    assert detail in result.detail
    assert (result.feature, result.statement, result.description, result.error) == (feature, sql, "why", True)


def test_a_pair_is_held_against_the_previous_window_or_what_it_names() -> None:
    sql = "feature_test.num_stats.max = feature_base.num_stats.max"
    bases = {"previous": WINDOW, "training": TRAINING}
    previous, training = _pair(sql, bases), _pair(sql, bases, "training")
    assert (previous.reference, previous.state) == ("previous", State.HOLDS)
    assert (training.reference, training.state) == ("training", State.BROKEN)
    (finding,) = rule_findings([training])
    assert not finding.flagged
    first = _pair(sql, {"training": TRAINING})
    assert first.state is State.UNDECIDED


def test_one_validation_that_fails_leaves_the_others_alone_and_environments_are_kept() -> None:
    text = b"""feature_validations { feature_path { step: 'fare' }
      validations { sql_expression: 'nonsense(' severity: ERROR }
      validations { sql_expression: 'feature.num_stats.mean > 100' severity: ERROR in_environment: 'SERVING' }
      validations { sql_expression: 'feature.num_stats.mean > 200' severity: ERROR in_environment: 'TRAINING' } }"""
    results = custom_validations(parse_custom_validations(text), WINDOW, {}, "SERVING")
    assert [result.state for result in results] == [State.UNUSABLE, State.BROKEN]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tensorflow as tf

    class Fares(tf.Module):  # type: ignore[misc]
        def tensors(self, distance: object, origin: object) -> dict[str, object]:
            jfk = tf.cast(tf.equal(origin, "JFK"), tf.float32)
            return {"fare": 2.0 * tf.reshape(distance, [-1]) + 5.0 * jfk}

        def examples(self, examples: object) -> dict[str, object]:
            wanted = {
                "distance": tf.io.FixedLenFeature([], tf.float32, 0.0),
                "origin": tf.io.FixedLenFeature([], tf.string, ""),
            }
            return self.tensors(**tf.io.parse_example(examples, wanted))

    path = tmp_path_factory.mktemp("models") / "fares"
    module = Fares()
    specs = {"distance": tf.TensorSpec((None, 1), tf.float32), "origin": tf.TensorSpec((None,), tf.string)}
    tensors = tf.function(module.tensors).get_concrete_function(
        **{name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()}
    )
    examples = tf.function(module.examples).get_concrete_function(tf.TensorSpec((None,), tf.string, "examples"))
    tf.saved_model.save(module, str(path), {"serving_default": tensors, "examples": examples})
    return path


ROWS = pa.table({"distance": [1.0, 2.0, 4.0], "origin": ["JFK", None, "EWR"]})


@pytest.mark.parametrize("signature", ["serving_default", "examples"])
def test_a_saved_model_is_asked_through_tensors_or_examples(model: Path, signature: str) -> None:
    predict = saved_model_predict(str(model), signature)
    assert_allclose(predict(ROWS), [7.0, 4.0, 8.0])
    found = permutation_attributions(predict, ROWS, ROWS.slice(2, 1), samples=1)
    assert_allclose(found["distance"], [-6.0, -4.0, 0.0])
    assert_allclose(found["origin"], [5.0, 0.0, 0.0])
    assert predict(ROWS.slice(0, 0)).shape == (0,)


def test_what_a_model_lacks_is_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a SavedModel"):
        saved_model_predict(str(tmp_path))
    with pytest.raises(ConfigError, match="no signature 'predict'; known: examples, serving_default"):
        saved_model_predict(str(model), "predict")
    with pytest.raises(ConfigError, match="say which output"):
        saved_model_predict(str(model), output="probability")
    with pytest.raises(InputError, match="asks for the feature 'origin'"):
        saved_model_predict(str(model))(pa.table({"distance": np.ones(1)}))
