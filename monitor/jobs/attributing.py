"""What each feature added to the predictions of some rows, by asking the model again; changes with which rows are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from collectors.files import read_table
from monitor.errors import InputError
from monitor.profile.attributions import PREFIX
from monitor.profile.explaining import Predict, permutation_attributions


@dataclass(frozen=True, slots=True)
class Attributing:
    """Whose attributions are computed, and how.

    Attributes:
        data: rows to explain.
        background: rows whose values take the place of theirs: the training rows, the same for every data set that is compared.
        features: columns to attribute to; empty for all that both have.
        rows: how many of the rows to take, evenly spaced.
        samples: values of the background that each value is compared with.
    """

    data: str
    background: str
    features: Sequence[str] = ()
    rows: int = 1_000
    samples: int = 16


def attributed(predict: Predict, asked: Attributing) -> pa.Table:
    """Return the rows that were taken, with a column `attribution.NAME` for each feature.

    Raises:
        InputError: files cannot be read, hold no rows, or lack a feature.
    """
    table, background = read_table(asked.data), read_table(asked.background)
    for uri, each in ((asked.data, table), (asked.background, background)):
        if each.num_rows == 0:
            raise InputError(f"{uri}: there are no rows")
    both = [name for name in table.column_names if name in background.column_names and not name.startswith(PREFIX)]
    names = list(asked.features or both)
    missing = [name for name in names if name not in table.column_names]
    if missing or not names:
        raise InputError(f"{asked.data}: there is no column {missing[0]!r}" if missing else "the files share no column")
    count = min(asked.rows, table.num_rows)
    taken = table.take(pa.array(np.linspace(0, table.num_rows - 1, count).round().astype(np.int64)))
    found = permutation_attributions(predict, taken, background, columns=names, samples=asked.samples)
    for name, values in found.items():
        taken = taken.append_column(f"{PREFIX}{name}", pa.array(values))
    return taken
