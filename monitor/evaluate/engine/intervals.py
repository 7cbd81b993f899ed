"""Confidence intervals over resamples, as TFMA makes them: Poisson bootstrap and jackknife; changes with TFMA's.

A resample is a sum in which each example counts so and so often: as a Poisson number of mean 1, or not at all where it is in the
twentieth that the jackknife leaves out. TFMA's own combiners make t distributions of the samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from monitor.evaluate.engine.graph import Graph
from monitor.evaluate.engine.metrics import Added, Sliced, derived, public, summed
from monitor.evaluate.examples import Floats

_SAMPLES = 20
"""TFMA's number of resamples, by either method."""
_SEED = 0


def wanted(config: Any) -> bool:
    """Say whether a configuration asks for confidence intervals."""
    return bool(config.options.compute_confidence_intervals.value)


def with_intervals(whole: Sliced, parts: Sequence[Added], graph: Graph, config: Any, specs: Sequence[Any]) -> Sliced:
    """Return the metrics with their intervals: TFMA's `ValueWithTDistribution` in the stead of each number that can have one."""
    from tensorflow_model_analysis.evaluators.confidence_intervals_util import SampleMetrics
    from tensorflow_model_analysis.metrics.metric_specs import metric_keys_to_skip_for_confidence_intervals

    skipped = metric_keys_to_skip_for_confidence_intervals(specs, eval_config=config)
    combiner = _combiner(config, skipped)
    full = combiner._full_sample_id
    gathered = {key: combiner.create_accumulator() for key in whole}
    for key, metrics in whole.items():
        combiner.add_input(gathered[key], SampleMetrics(metrics=dict(metrics), sample_id=full))
    for number, times in enumerate(_resamples(config, parts)):
        for key, metrics in public(derived(summed(parts, times), graph, config)).items():
            combiner.add_input(gathered[key], SampleMetrics(metrics=metrics, sample_id=number))
    # A metric that is not a number in a resample has no deviation.
    with np.errstate(divide="ignore", invalid="ignore"):
        return {key: dict(combiner.extract_output(each)) for key, each in gathered.items()}


def _combiner(config: Any, skipped: Any) -> Any:
    from tensorflow_model_analysis.evaluators import jackknife, poisson_bootstrap

    if _is_jackknife(config):
        return jackknife._JackknifeSampleCombineFn(_SAMPLES, skipped)
    return poisson_bootstrap._BootstrapSampleCombineFn(_SAMPLES, skipped)


def _is_jackknife(config: Any) -> bool:
    from tensorflow_model_analysis.proto.config_pb2 import ConfidenceIntervalOptions

    return bool(config.options.confidence_intervals.method == ConfidenceIntervalOptions.JACKKNIFE)


def _resamples(config: Any, parts: Sequence[Added]) -> Iterator[list[Floats]]:
    """Yield how often each example counts, for each part: the same for all parts of the same examples."""
    random = np.random.default_rng(_SEED)
    sizes = sorted({part.size for part in parts})
    if _is_jackknife(config):
        buckets = {size: random.integers(0, _SAMPLES, size) for size in sizes}
        for number in range(_SAMPLES):
            kept = {size: np.asarray(bucket != number, np.float64) for size, bucket in buckets.items()}
            yield [kept[part.size] for part in parts]
    else:
        for _ in range(_SAMPLES):
            drawn = {size: random.poisson(1.0, size).astype(np.float64) for size in sizes}
            yield [drawn[part.size] for part in parts]
