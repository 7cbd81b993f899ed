"""The quality of labelled rows block by block of time, from one pass over them; changes with what a block is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.evaluation import Evaluation
from monitor.evaluate.examples import Examples
from monitor.evaluate.quality.reference import Block, block_of

_BLOCK = "\x00block"
"""A column that no data has, with the number of a row's block: each block is a slice."""


def blocks_of(examples: Examples, times: npt.NDArray[np.int64], length: int, config: Any) -> list[Block]:
    """Return the blocks of some examples, oldest first.

    Args:
        examples: n labelled examples.
        times: (n,) microseconds since the epoch.
        length: of a block, in microseconds.
        config: TFMA's EvalConfig; its slices are those of the blocks.
    """
    numbered = replace(examples, features={**examples.features, _BLOCK: pa.array(times // length)})
    found = evaluate(numbered, _by_block(config))
    return [block_of(each) for each in _apart(found)]


def _by_block(config: Any) -> Any:
    """Return the configuration with every slicing crossed with the blocks, and nothing that compares slices or resamples."""
    crossed = type(config)()
    crossed.CopyFrom(config)
    del crossed.cross_slicing_specs[:]
    crossed.options.ClearField("compute_confidence_intervals")
    crossed.options.ClearField("min_slice_size")
    sliced = [spec for spec in crossed.slicing_specs if not spec.slice_keys_sql]
    kept = [type(spec).FromString(spec.SerializeToString()) for spec in sliced]
    del crossed.slicing_specs[:]
    if not kept:
        crossed.slicing_specs.add()
    crossed.slicing_specs.extend(kept)
    for spec in crossed.slicing_specs:
        spec.feature_keys.append(_BLOCK)
    return crossed


def _apart(found: Evaluation) -> Iterator[Evaluation]:
    by_number: dict[int, Evaluation] = {}
    for key, metrics in found.metrics.items():
        number = int(dict(key)[_BLOCK])
        inner = tuple(pair for pair in key if pair[0] != _BLOCK)
        block = by_number.setdefault(number, Evaluation({}, examples={}))
        by_number[number] = replace(
            block,
            metrics={**block.metrics, inner: metrics},
            examples={**block.examples, inner: found.examples.get(key, 0)},
        )
    yield from (by_number[number] for number in sorted(by_number))
