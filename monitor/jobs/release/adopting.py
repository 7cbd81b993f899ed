"""The baseline that comes with a promoted version; changes with what a trainer leaves behind, and what is taken instead.

Windows are judged against one baseline a model. It is made before the version changes, so that it can be active from then on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from collectors.files import read_table
from monitor import records as r
from monitor.act.retrain import Retrain
from monitor.config.settings import ModelSettings, SamplingSettings, Settings
from monitor.cuts import SpanStorage
from monitor.errors import ConfigError, InputError
from monitor.jobs.baselines import MAX_ROWS, NewBaseline, baseline_from_files, baseline_of_rows
from monitor.jobs.checking import ReferenceFiles
from monitor.jobs.window_rows import ColumnPlan, read_rows
from monitor.outside.candidates.resolve import below, resolved
from monitor.profile.baseline import Baseline
from monitor.profile.schema import column_types_of
from monitor.store.ledger import Ledger
from monitor.window.frames import ColumnRoles

ROWS_FILE = "rows.parquet"
"""Where a trainer puts the rows that the candidate was trained on: beside its `saved_model.pb`."""
_HASHED = r"^[0-9a-f]{16}$"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Adopted:
    """A baseline that was made; `said` tells a person of what."""

    made: NewBaseline
    said: str


def candidate_baseline(
    retrain: Retrain, stable: str, ledger: Ledger, storage: SpanStorage, settings: Settings
) -> Adopted:
    """Return the baseline of a candidate: of the rows that its trainer left, else of the spans that it was trained on.

    Of the latter only the inputs count, since their predictions are those of the version before: predictions are then compared
    with earlier windows until somebody makes a baseline with predictions.

    Args:
        retrain: whose candidate it is.
        stable: the version before.
        ledger: where windows are.
        storage: where their spans are.
        settings: where candidates are, and how the model is watched.

    Raises:
        InputError: neither can be used.
        TransientError: a place cannot be read now.
    """
    model = settings.models[retrain.model]
    try:
        return _of_trainer(retrain, ledger, settings, model)
    except (InputError, ConfigError) as error:
        made = _of_spans(retrain, stable, ledger, storage, model)
        return Adopted(made, f"{_summary(made)} of version {stable}'s spans, inputs only ({error})")


def _of_trainer(retrain: Retrain, ledger: Ledger, settings: Settings, model: ModelSettings) -> Adopted:
    told = retrain.candidate.get("statistics")
    uri = told.get("uri") if isinstance(told, Mapping) else None
    if uri is not None:
        made = _of_file(_under(settings.candidates, uri), retrain, ledger, model)
        return Adopted(made, f"{_summary(made)} that the trainer reported")
    size = model.retrain.gate.max_size_mib * _MIB if model.retrain else 0
    with resolved(settings.candidates, retrain.candidate, size) as candidate:
        rows = candidate.folder / ROWS_FILE
        if not rows.is_file():
            raise InputError(f"the trainer left no {ROWS_FILE} beside the model")
        made = _of_file(str(rows), retrain, ledger, model)
    return Adopted(made, f"{_summary(made)} that the trainer left beside the model")


def _under(candidates: str, uri: object) -> str:
    """Return the location of a file below `candidates`; raises InputError where it is elsewhere."""
    parts = below(candidates, uri)
    if urlsplit(candidates).scheme not in {"", "file"}:
        return f"{candidates.rstrip('/')}/{'/'.join(parts)}"
    root = Path(unquote(candidates.removeprefix("file://").removeprefix("file:"))).resolve()
    found = root.joinpath(*parts).resolve()
    if not found.is_relative_to(root):
        raise InputError("the candidate's rows lie outside the configured `candidates`, where a link leads")
    return str(found)


def _of_file(uri: str, retrain: Retrain, ledger: Ledger, model: ModelSettings) -> NewBaseline:
    before = _before(ledger, retrain.model)
    prediction, label = (
        (r.PREDICTION, r.LABEL) if before is None else (before.prediction or r.PREDICTION, before.label or r.LABEL)
    )
    table = read_table(uri)
    named = dict(zip(("prediction", "label"), (prediction, label), strict=True))
    roles = {role: name if name in table.column_names else role for role, name in named.items()}
    weight = r.WEIGHT if r.WEIGHT in table.column_names else None
    ignored = tuple(name for name in (r.INSTANCE,) if name in table.column_names)
    columns = ColumnRoles(
        timestamp=r.EVENT_TIME,
        id=r.REQUEST_ID,
        prediction=roles["prediction"],
        label=roles["label"],
        weight=weight,
        ignore=ignored,
    )
    schema = None if before is None or before.schema_inferred else before.schema
    made = baseline_from_files(ReferenceFiles(uri, columns), _as_stored(model, table), schema)
    return _signed(made, retrain)


def _as_stored(model: ModelSettings, table: pa.Table) -> ModelSettings:
    """Return settings that do not hash again what is hashed: rows of spans hold what a collector has stored."""
    hashed = {name for name in model.privacy.hash if name in table.column_names and _is_hashed(table.column(name))}
    left = [name for name in model.privacy.hash if name not in hashed]
    return model.model_copy(update={"privacy": model.privacy.model_copy(update={"hash": left})})


def _is_hashed(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type):
        return False
    return bool(pc.all(pc.match_substring_regex(column.drop_null(), _HASHED)).as_py())


def _of_spans(retrain: Retrain, stable: str, ledger: Ledger, storage: SpanStorage, model: ModelSettings) -> NewBaseline:
    data = retrain.request.get("data")
    told: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    since, until = _moment(told.get("start")), _moment(told.get("end"))
    pending = ledger.windows.closed_spans(retrain.model, stable or None, since, until)
    if pending is None:
        raise InputError(f"no judged window of {retrain.model} is left of the time that it was trained on")
    before = _before(ledger, retrain.model)
    schema = None if before is None or before.schema_inferred else before.schema
    plan = replace(ColumnPlan.of(before), types=column_types_of(schema) if schema else {})
    rows = read_rows(pending, storage, SamplingSettings(max_rows_per_window=MAX_ROWS), plan)
    aside = [name for name in (rows.prediction,) if name is not None]
    inputs = replace(rows, features=rows.features.drop(aside), prediction=None)
    source = f"{retrain.model} version {pending.key.version}, windows {pending.key.window}, inputs only"
    made = baseline_of_rows(inputs, schema, model)
    provenance = {"kind": "windows", "source": source, "spans": [span.span_id for span in pending.spans]}
    return _signed(NewBaseline(made.baseline, {**made.provenance, **provenance}), retrain)


def _signed(made: NewBaseline, retrain: Retrain) -> NewBaseline:
    return NewBaseline(
        made.baseline,
        {**made.provenance, "retrain": retrain.retrain_id, "version": retrain.candidate.get("version")},
    )


def _before(ledger: Ledger, model: str) -> Baseline | None:
    active = ledger.baselines.active(model)
    return None if active is None else Baseline.from_document(active[1])


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str) or not re.match(r"\d{4}-", text):
        return None
    return datetime.fromisoformat(text)


def _summary(made: NewBaseline) -> str:
    return f"{made.baseline.rows:,} rows"
