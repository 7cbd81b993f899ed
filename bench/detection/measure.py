"""Flags windows with one of the peers, in their own environment; changes when they do.

    measure.py alibi | nannyml | evidently | whylogs

Reads messages from standard input, each a line of JSON and the bytes of an Arrow stream that it announces:
{"what": "reference" | "window", "bytes": int, "time": str, "rows": int | null, "period": str | null}. The reference comes
first, and again whenever the size of windows changes: `rows` in each, or those of a `period` ("h", "D", "W"). Answers every
window with a line: a list of [feature, measure, value, threshold] of what was flagged, or {"error": str}; the first line is the
peer's version.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol

# Imported by name: none of these is in the environment that checks the types.
numpy: Any = importlib.import_module("numpy")
pandas: Any = importlib.import_module("pandas")
arrow: Any = importlib.import_module("pyarrow")

Flags = list[tuple[str, str, float, float]]


class Peer(Protocol):
    """One peer, made from a reference."""

    def flag(self, window: Any) -> Flags:
        """Return what it flags in a data frame."""
        ...


def frame_of(table: Any) -> Any:
    """Return a data frame whose numbers are all floats: else whole numbers would be, in those windows that miss some."""
    numbers = [arrow.types.is_integer(field.type) for field in table.schema]
    fields = [
        field.with_type(arrow.float64()) if whole else field for field, whole in zip(table.schema, numbers, strict=True)
    ]
    return table.cast(arrow.schema(fields)).to_pandas()


def features_of(frame: Any, message: dict[str, Any]) -> Any:
    """Return a frame without its time."""
    return frame.drop(columns=[message["time"]])


class Alibi:
    """TabularDrift: Kolmogorov-Smirnov and chi-square at 0.05 over all features, Bonferroni.

    It knows no missing values: in numbers they are replaced by the reference's median; in text they are a category.
    """

    def __init__(self, reference: Any, message: dict[str, Any]) -> None:
        detectors: Any = importlib.import_module("alibi_detect.cd")
        frame = features_of(reference, message)
        self._texts = {name for name in frame if frame[name].dtype == object}
        self._codes = {name: {None: 0} for name in self._texts}
        self._middles = {
            name: 0.0 if frame[name].isna().all() else frame[name].median()
            for name in frame.columns.difference(self._texts)
        }
        self._names = list(frame)
        categorical = {place: None for place, name in enumerate(self._names) if name in self._texts}
        self._detector = detectors.TabularDrift(self._numbers(frame), p_val=0.05, categories_per_feature=categorical)

    def flag(self, window: Any) -> Flags:
        """Compare p-values with the level that Bonferroni leaves to each."""
        found = self._detector.predict(self._numbers(window[self._names]), drift_type="batch", return_p_val=True)
        level = found["data"]["threshold"]
        pairs = zip(self._names, found["data"]["p_val"], strict=True)
        return [(name, "p_value", float(p), float(level)) for name, p in pairs if p < level]

    def _numbers(self, frame: Any) -> Any:
        return numpy.column_stack([self._column(frame[name]) for name in self._names]).astype(numpy.float32)

    def _column(self, column: Any) -> Any:
        if column.name not in self._texts:
            return column.astype(float).fillna(self._middles[column.name])
        codes = self._codes[column.name]
        return column.map(lambda value: codes.setdefault(None if pandas.isna(value) else value, len(codes)))


class NannyML:
    """Univariate drift (Jensen-Shannon), missing and unseen values: default thresholds, fitted on chunks of the same size."""

    def __init__(self, reference: Any, message: dict[str, Any]) -> None:
        nannyml: Any = importlib.import_module("nannyml")
        names = list(features_of(reference, message))
        told = [name for name in names if not reference[name].isna().all()]
        texts = [name for name in told if reference[name].dtype == object]
        chunks = (
            {"chunk_size": message["rows"]}
            if message["rows"]
            else {"chunk_period": message["period"], "timestamp_column_name": message["time"]}
        )
        self._calculators = [
            nannyml.UnivariateDriftCalculator(column_names=told, **chunks),
            nannyml.MissingValuesCalculator(column_names=names, **chunks),
        ]
        if texts:
            self._calculators.append(nannyml.UnseenValuesCalculator(column_names=texts, **chunks))
        # Windows of rows drawn at random are like chunks of rows in random order.
        ordered = reference.sample(frac=1.0, random_state=0) if message["rows"] else reference
        for calculator in self._calculators:
            calculator.fit(ordered)

    def flag(self, window: Any) -> Flags:
        """Return the alerts of every calculator."""
        found: Flags = []
        for calculator in self._calculators:
            frame = calculator.calculate(window).filter(period="analysis").to_df(multilevel=True)
            alerts = [column for column in frame.columns if column[-1] == "alert"]
            for alert in alerts:
                if frame[alert].any():
                    measure = alert[1] if len(alert) > 2 else type(calculator).__name__
                    limit = frame[(*alert[:-1], "upper_threshold")].iloc[0]
                    found.append((alert[0], measure, float(frame[(*alert[:-1], "value")].iloc[0]), float(limit)))
        return found


class Evidently:
    """DataDriftPreset with its defaults; it computes the reference anew for every window."""

    def __init__(self, reference: Any, message: dict[str, Any]) -> None:
        evidently: Any = importlib.import_module("evidently")
        presets: Any = importlib.import_module("evidently.presets")
        self._reference = features_of(reference, message)
        self._run: Callable[[Any, Any], Any] = evidently.Report([presets.DataDriftPreset()]).run

    def flag(self, window: Any) -> Flags:
        """Compare each column's score with its threshold; of a p-value less is more."""
        found: Flags = []
        # A column without any value stops the preset.
        names = [
            name for name in self._reference if not (window[name].isna().all() or self._reference[name].isna().all())
        ]
        for metric in self._run(window[names], self._reference[names]).dict()["metrics"]:
            config = metric["config"]
            if "column" not in config or "method" not in config:
                continue
            value, limit = float(metric["value"]), float(config["threshold"])
            if value < limit if "p_value" in config["method"] else value >= limit:
                found.append((config["column"], config["method"], value, limit))
        return found


class Whylogs:
    """calculate_drift_scores with its defaults; "DRIFT" is a flag, "POSSIBLE_DRIFT" is none."""

    def __init__(self, reference: Any, message: dict[str, Any]) -> None:
        self._why: Any = importlib.import_module("whylogs")
        self._drift: Any = importlib.import_module("whylogs.viz.drift.column_drift_algorithms")
        self._reference = self._why.log(pandas=features_of(reference, message)).view()
        self._message = message

    def flag(self, window: Any) -> Flags:
        """Return the columns whose category is DRIFT."""
        view = self._why.log(pandas=features_of(window, self._message)).view()
        scores = self._drift.calculate_drift_scores(
            target_view=view, reference_view=self._reference, with_thresholds=True
        )
        return [
            (name, score["algorithm"], float(score.get("pvalue") or score.get("statistic") or 0.0), math.nan)
            for name, score in scores.items()
            if score and score["drift_category"] == "DRIFT"
        ]


PEERS: dict[str, tuple[str, Callable[[Any, dict[str, Any]], Peer]]] = {
    "alibi": ("alibi-detect", Alibi),
    "nannyml": ("nannyml", NannyML),
    "evidently": ("evidently", Evidently),
    "whylogs": ("whylogs", Whylogs),
}


def answer(peer: Peer, window: Any) -> Flags | dict[str, str]:
    """Return the flags, or why the peer cannot judge this window; a column without any value stops some of them."""
    try:
        return peer.flag(window)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the peer's answer to this window
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def main() -> None:
    """Answer messages until there are no more."""
    # Libraries greet on standard output, which is for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    package, make = PEERS[sys.argv[1]]
    print(version(package), file=answers, flush=True)
    peer: Peer | None = None
    while line := sys.stdin.buffer.readline():
        message = json.loads(line)
        frame = frame_of(arrow.ipc.open_stream(sys.stdin.buffer.read(message["bytes"])).read_all())
        if message["what"] == "reference":
            peer = make(frame, message)
        elif peer is not None:
            print(json.dumps(answer(peer, frame)), file=answers, flush=True)


if __name__ == "__main__":
    main()
