"""Lets NannyML estimate quality without labels, in its own environment; changes when its interface does.

    estimate.py FILE.parquet cbpe|dle ROWS RUNS

FILE has the columns set (int), part ("reference" or "analysis"), score, label, and for dle the features x and kind. For
each set NannyML learns from the reference and estimates the analysis in chunks of ROWS rows. Prints one JSON object:
{"version": str, "estimates": {measure: [[per chunk], per set]}, "fit_seconds": [cpu, ...], "seconds": [[cpu, wall], ...]} where
`seconds` are of RUNS estimates of the first set's analysis.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from importlib.metadata import version
from typing import Any

# Imported by name: neither is in the environment that checks the types.
pandas: Any = importlib.import_module("pandas")

CBPE = {
    "roc_auc": "auc",
    "f1": "f1_score",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
    "accuracy": "binary_accuracy",
}
DLE = {"mae": "mean_absolute_error", "mse": "mean_squared_error", "rmse": "root_mean_squared_error"}


def estimator(kind: str, rows: int) -> Any:
    """Return an estimator that is not fitted yet."""
    nannyml: Any = importlib.import_module("nannyml")
    if kind == "cbpe":
        return nannyml.CBPE(
            problem_type="classification_binary",
            y_pred_proba="score",
            y_pred="predicted",
            y_true="label",
            metrics=list(CBPE),
            chunk_size=rows,
        )
    return nannyml.DLE(
        feature_column_names=["x", "kind"], y_pred="score", y_true="label", metrics=list(DLE), chunk_size=rows
    )


def main() -> None:
    """Estimate what the command line names."""
    file, kind, rows, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    names = CBPE if kind == "cbpe" else DLE
    table = pandas.read_parquet(file)
    table["predicted"] = (table["score"] > 0.5).astype(int)
    estimates: dict[str, list[list[float]]] = {name: [] for name in names.values()}
    fits, seconds = [], []
    for number, part in table.groupby("set"):
        reference = part[part["part"] == "reference"].reset_index(drop=True)
        analysis = part[part["part"] == "analysis"].reset_index(drop=True)
        began = time.process_time()
        fitted = estimator(kind, rows).fit(reference)
        fits.append(time.process_time() - began)
        found = fitted.estimate(analysis)
        for _ in range(runs if number == 0 else 0):
            cpu, wall = time.process_time(), time.perf_counter()
            found = fitted.estimate(analysis)
            seconds.append((time.process_time() - cpu, time.perf_counter() - wall))
        frame = found.filter(period="analysis").to_df()
        for theirs, ours in names.items():
            estimates[ours].append([float(value) for value in frame[(theirs, "value")]])
    print(json.dumps({"version": version("nannyml"), "estimates": estimates, "fit_seconds": fits, "seconds": seconds}))


if __name__ == "__main__":
    main()
