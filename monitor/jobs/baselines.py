"""Making baselines: from the files a model was trained on, or from windows of traffic that are the new normal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from collectors.privacy import Privacy
from monitor.clock import from_micros, rfc3339
from monitor.config.settings import ModelSettings, SamplingSettings
from monitor.cuts import SpanStorage
from monitor.errors import InputError
from monitor.jobs.checking import ReferenceFiles, baseline_of, read_reference
from monitor.jobs.eval_configs import EvalConfigs
from monitor.jobs.quality_references import baseline_evaluation
from monitor.jobs.window_rows import ColumnPlan, read_rows
from monitor.profile.baseline import Baseline
from monitor.profile.schema import column_types_of
from monitor.records import Rows
from monitor.store.ledger import Ledger

MAX_ROWS = 2_000_000
"""Rows of traffic that a baseline is made from, at most."""


@dataclass(frozen=True, slots=True)
class NewBaseline:
    """A baseline to be stored: itself, and where it came from."""

    baseline: Baseline
    provenance: dict[str, Any]


def baseline_from_files(reference: ReferenceFiles, settings: ModelSettings, schema: bytes | None = None) -> NewBaseline:
    """Return a baseline of the rows of `reference`, as `check` would make it for windows of the model's length.

    The model's privacy settings are applied to them, so that they are what a collector would have stored. A schema is that of
    `reference`, else the one given, else inferred.

    Raises:
        InputError: the files cannot be read, hold no rows, or lack a named column or one to slice or evaluate by.
        ConfigError: the model's EvalConfig cannot be read or is wrong.
    """
    roles, privacy = reference.roles, Privacy(settings.privacy)
    no_features = roles.aside() | {name for name in (roles.prediction, roles.label) if name is not None}
    read = read_reference(reference, lambda table: privacy.treat_training(table, no_features), schema)
    baseline = _baseline(read.rows, read.schema, settings)
    return NewBaseline(baseline, _provenance(read.rows, read.schema) | {"source": reference.uri, "kind": "files"})


def baseline_from_windows(
    model: str,
    ledger: Ledger,
    storage: SpanStorage,
    settings: ModelSettings,
    *,
    version: str | None,
    since: datetime | None,
    until: datetime | None,
    schema: bytes | None,
) -> NewBaseline:
    """Return a baseline of what the model served in closed windows within [since, until).

    Without a version the newest one that was served is taken. Without a schema the one of the active baseline stays where a
    person wrote it, and is inferred anew otherwise.

    Raises:
        InputError: no closed window holds rows there, or they lack a column to slice by.
    """
    pending = ledger.windows.closed_spans(model, version, since, until)
    if pending is None:
        raise InputError(
            f"model {model!r} has no closed windows with rows in that time; see: driftline baseline --help"
        )
    active = ledger.baselines.active(model)
    previous = Baseline.from_document(active[1]) if active else None
    if schema is None and previous is not None and not previous.schema_inferred:
        schema = previous.schema
    plan = replace(ColumnPlan.of(previous), types=column_types_of(schema) if schema else {})
    rows = read_rows(pending, storage, SamplingSettings(max_rows_per_window=MAX_ROWS), plan)
    baseline = _baseline(rows, schema, settings)
    source = {
        "kind": "windows",
        "source": f"{model} version {pending.key.version}, windows {pending.key.window}",
        "spans": [span.span_id for span in pending.spans],
    }
    return NewBaseline(baseline, _provenance(rows, schema) | source)


def baseline_of_rows(rows: Rows, schema: bytes | None, settings: ModelSettings) -> NewBaseline:
    """Return a baseline of rows as they are, with what is known of where they come from.

    Raises:
        InputError: they lack a column to slice or evaluate by.
    """
    return NewBaseline(_baseline(rows, schema, settings), _provenance(rows, schema))


def _baseline(rows: Rows, schema: bytes | None, settings: ModelSettings) -> Baseline:
    baseline = baseline_of(rows, schema, settings.windows.length, settings.detection, settings.slices)
    if settings.evaluation is None:
        return baseline
    config = EvalConfigs().of(settings.evaluation, weighted=rows.weights is not None)
    quality = baseline_evaluation(rows, baseline.block_length, config, estimate=settings.evaluation.estimate)
    return replace(baseline, evaluation=quality)


def _provenance(rows: Rows, schema: bytes | None) -> dict[str, Any]:
    provenance: dict[str, Any] = {
        "rows": len(rows),
        "columns": rows.features.num_columns,
        "rows_sha256": _digest(rows.features),
        "schema": "given" if schema else "inferred",
    }
    if rows.event_times is not None and len(rows):
        provenance["from"] = rfc3339(from_micros(int(rows.event_times.min())))
        provenance["to"] = rfc3339(from_micros(int(rows.event_times.max())))
    return provenance


def _digest(table: pa.Table) -> str:
    """Return the SHA-256 of the rows as an Arrow stream in one batch; the same rows in the same order give the same."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None).combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()
