"""The demo's trainer: `driftline` gives it a request on standard input, and it trains for real. Changes with how it trains.

It stands for what trains models at a user's: any program that reads a request and reports a candidate (docs/trainers.md). What it
learns from are the rows of the first training and the spans that the request lists, joined with their labels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from monitor.demo import flights, model
from monitor.records import EVENT_TIME, FEATURE_PREFIX, INSTANCE, LABEL, PREDICTION, REQUEST_ID

_KEYS = [REQUEST_ID, INSTANCE]
COLUMNS = (EVENT_TIME, REQUEST_ID, *flights.FEATURES, LABEL)
SCORED = (EVENT_TIME, REQUEST_ID, *flights.FEATURES, PREDICTION, LABEL)
ROWS_FILE = "rows.parquet"


def main() -> None:
    """Read a request, train, and print what came of it as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=Path, required=True, help="rows of the first training")
    options = parser.parse_args()
    request = json.load(sys.stdin)
    print(json.dumps(train(request, options.first)), flush=True)  # noqa: T201 - its answer


def train(request: Mapping[str, Any], first: Path) -> dict[str, Any]:
    """Train on the first rows and those of the request, and return what is to be reported of the candidate."""
    fresh = labelled(request["data"]["spans"])
    earlier = parquet.read_table(first, columns=list(COLUMNS))
    rows = pa.concat_tables([earlier, fresh.cast(earlier.schema)])
    expected = request["expected"]
    folder = _path(expected["candidate_uri"])
    model.prepare()
    folder.parent.mkdir(parents=True, exist_ok=True)
    model.train(rows, folder, lambda epoch: _say(f"epoch {epoch} of {model.EPOCHS}"))
    scored = rows.append_column(PREDICTION, pa.array(model.load(folder)(rows)))
    # The rows that it knows lie beside the model: the new baseline is made of them.
    parquet.write_table(scored.select(SCORED), folder / ROWS_FILE)
    return {
        "uri": expected["candidate_uri"],
        "version": expected["version"],
        "statistics": {"rows": rows.num_rows, "fresh_rows": fresh.num_rows},
    }


def labelled(spans: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the rows of traffic spans that have a label, as COLUMNS; the newest label of a prediction counts."""
    traffic, labels = (
        [parquet.read_table(_path(span["uri"])) for span in spans if span["kind"] == kind]
        for kind in ("traffic", "labels")
    )
    told = pa.concat_tables([table.select([*_KEYS, EVENT_TIME, LABEL]) for table in labels]).sort_by(EVENT_TIME)
    newest = dict(zip(_keys(told), told.column(LABEL).to_pylist(), strict=True))
    names = {name: f"{FEATURE_PREFIX}{name}" for name in flights.FEATURES}
    asked = pa.concat_tables([table.select([*_KEYS, EVENT_TIME, *names.values()]) for table in traffic])
    asked = asked.rename_columns([*_KEYS, EVENT_TIME, *names])
    joined = asked.append_column(LABEL, pa.array([newest.get(key) for key in _keys(asked)], pa.float64()))
    return joined.filter(pc.is_valid(joined.column(LABEL))).sort_by(EVENT_TIME).select(list(COLUMNS))


def _keys(table: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(*(table.column(name).to_pylist() for name in _KEYS), strict=True)


def _path(uri: str) -> Path:
    parts = urlsplit(uri)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(uri)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - its log


if __name__ == "__main__":
    main()
