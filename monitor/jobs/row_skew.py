"""Row-level skew of files: `driftline skew`. Reads columns in groups that fit memory, and calls the pure comparison on each.

Changes with how much is read at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.compare.row_skew.comparison import Comparison, SkewOptions
from monitor.compare.row_skew.report import RowSkew
from monitor.errors import InputError
from monitor.jobs.row_skew_sides import Side, open_sides

_CELLS = 40_000_000
"""Values read at once, on both sides together: about a gigabyte."""


def compare_files(
    training: str, served: str, *, keys: Sequence[str], ignore: Sequence[str], options: SkewOptions
) -> RowSkew:
    """Compare served rows with the training rows of the same keys.

    Args:
        training: file, folder or glob of the rows that training used.
        served: likewise, of the rows that were served.
        keys: columns that together identify a row, on both sides.
        ignore: columns to leave out.
        options: how rows are compared.

    Raises:
        InputError: files cannot be read, or columns are not there or cannot be compared. No rows in common are a verdict instead.
    """
    sides = open_sides(training, served)
    _check(sides, keys, ignore, options)
    training_keys, served_keys = (side.columns(keys) for side in sides)
    comparison = Comparison.start(training_keys, served_keys, options)
    rows = sum(len(next(iter(columns.values())).presence) for columns in (training_keys, served_keys))
    aside = {*keys, *ignore}
    names = [name for name in dict.fromkeys(sides[0].schema.names + sides[1].schema.names) if name not in aside]
    size = max(1, _CELLS // max(rows, 1))
    for start in range(0, len(names), size):
        group = names[start : start + size]
        one, other = (side.columns(group) for side in sides)
        for name in group:
            # Each column is let go as soon as it has been compared.
            comparison.add(name, one.pop(name), other.pop(name))
    return comparison.finish()


def _check(sides: Sequence[Side], keys: Sequence[str], ignore: Sequence[str], options: SkewOptions) -> None:
    if not keys:
        raise InputError("no key column is named; --key names the columns that identify a row on both sides")
    for side in sides:
        names = side.schema.names
        for key in keys:
            if names and key not in names:
                raise InputError(
                    f"{side.uri}: there is no column {key!r} for the key; the columns are: {', '.join(names)}"
                )
    known = {name for side in sides for name in side.schema.names}
    for named, purpose in ((ignore, "to ignore"), (options.confusion, "to count confusion of")):
        unknown = [name for name in named if known and name not in known]
        if unknown:
            raise InputError(f"there is no column {unknown[0]!r} {purpose}, on either side")
    repeated = [key for key in keys if key in ignore or key in options.confusion]
    if repeated:
        raise InputError(f"column {repeated[0]!r} is a key; it cannot be ignored, nor confusion be counted of it")
