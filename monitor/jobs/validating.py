"""Rules over the rows of a window: from the settings' rules to results; changes with what a rule's value means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa

from monitor.compare.validations.expressions import Expression, RuleError
from monitor.config.validation_settings import ValidationRule
from monitor.jobs.rule_database import Columns, Limits, RuleDatabase, rule_database
from monitor.profile.validations import RuleResult, State
from monitor.records import EVENT_TIME, LABEL, PREDICTION, WEIGHT, ColumnTypes, Rows

_TIME_TYPE = pa.timestamp("us")
"""Times go without a zone, in UTC: functions of times with one would look at the machine's."""
_SIZES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBERS = frozenset({"FLOAT", "DOUBLE", *_SIZES, *(f"U{size}" for size in _SIZES)})


def evaluate_rules(rows: Rows, rules: Sequence[ValidationRule], limits: Limits | None = None) -> list[RuleResult]:
    """Evaluate each rule on the rows of a window; what cannot be evaluated is a result that says so.

    A rule sees every feature as a column of its name, and the roles `prediction`, `label`, `weight` (1 where rows have none)
    and `event_time` (UTC) unless a feature has that name. Missing values, NaN too, are NULL. Weights are the rule's to use.

    Args:
        rows: of one window, in canonical order, so that sums of floats come out the same again.
        rules: from the settings; their SQL is not taken from anywhere else.
        limits: of memory and time, for each rule.
    """
    if not rules:
        return []
    with rule_database(_columns(rows), len(rows), limits or Limits()) as database:
        return [_result(rule, _answer(database, rule, len(rows))) for rule in rules]


def rule_problems(
    rules: Sequence[ValidationRule],
    types: ColumnTypes | None = None,
    *,
    prediction: str | None = None,
    label: str | None = None,
) -> list[str]:
    """Return a line for each rule that cannot work; nothing where all can.

    Args:
        rules: to be checked.
        types: of the model's features, as its schema says; None checks only that each rule is an expression.
        prediction: the model's prediction column, if it has a name of its own.
        label: its label column, likewise.
    """
    if not rules:
        return []
    problems: list[str] = []
    with rule_database(_empty_columns(types or {}, prediction, label), 0, Limits()) as database:
        for rule in rules:
            try:
                expression = database.expression(rule.sql)
                if types is not None:
                    _check_type(rule, database.type_of(expression))
            except RuleError as error:
                problems.append(f"the rule {rule.name!r} cannot be evaluated: {error}")
    return problems


@dataclass(frozen=True, slots=True)
class _Answer:
    state: State
    detail: str = ""
    value: float | None = None
    threshold: float | None = None


def _result(rule: ValidationRule, answer: _Answer) -> RuleResult:
    return RuleResult(
        name=rule.name,
        statement=rule.sql,
        error=rule.severity == "error",
        state=answer.state,
        detail=answer.detail,
        description=rule.description,
        value=answer.value,
        threshold=answer.threshold,
    )


def _answer(database: RuleDatabase, rule: ValidationRule, rows: int) -> _Answer:
    try:
        expression = database.expression(rule.sql)
        if rows < rule.min_rows:
            return _Answer(State.UNDECIDED, f"too few rows: {rows:,}, and the rule asks for {rule.min_rows:,}")
        value = database.value(expression)
        return _against_limits(rule, value) if rule.limited else _true_or_false(database, expression, value)
    except RuleError as error:
        return _Answer(State.UNUSABLE, str(error))


def _against_limits(rule: ValidationRule, value: object) -> _Answer:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | None):
        raise RuleError("it has min or max, and its value is no number")
    if value is None or math.isnan(value):
        return _Answer(State.UNDECIDED, "it has no value in this window")
    number = float(value)
    if rule.min is not None and number < rule.min:
        return _Answer(State.BROKEN, f"it is {number:.6g}, below {rule.min:g}", number, rule.min)
    if rule.max is not None and number > rule.max:
        return _Answer(State.BROKEN, f"it is {number:.6g}, above {rule.max:g}", number, rule.max)
    only = None if rule.min is not None and rule.max is not None else rule.min if rule.max is None else rule.max
    return _Answer(State.HOLDS, f"it is {number:.6g}", number, only)


def _true_or_false(database: RuleDatabase, expression: Expression, value: object) -> _Answer:
    if value is None:
        return _Answer(State.UNDECIDED, "it is NULL in this window: there are no values to decide by")
    if not isinstance(value, bool):
        raise RuleError("it is neither true nor false; compare it, or give min or max")
    compared = dict.fromkeys(f"{text} = {_shown(each)}" for text, each in database.operands(expression))
    return _Answer(State.HOLDS if value else State.BROKEN, ", ".join(compared))


def _shown(value: object) -> str:
    if value is None:
        return "NULL"
    return f"{float(value):.6g}" if isinstance(value, float | Decimal) else str(value)


def _check_type(rule: ValidationRule, kind: str) -> None:
    if rule.limited and kind not in _NUMBERS and not kind.startswith("DECIMAL"):
        raise RuleError(f"it has min or max, and its value is no number but {kind}")
    if not rule.limited and kind != "BOOLEAN":
        raise RuleError(f"it is neither true nor false but {kind}; compare it, or give min or max")


def _columns(rows: Rows) -> Columns:
    """Return what a rule can name: the roles, and the features, which win where a name is both."""
    roles: dict[str, pa.Array | pa.ChunkedArray] = {
        WEIGHT: pa.array(np.ones(len(rows)) if rows.weights is None else rows.weights),
        EVENT_TIME: pa.nulls(len(rows), _TIME_TYPE)
        if rows.event_times is None
        else pa.array(rows.event_times).cast(_TIME_TYPE),
    }
    for role, name in ((PREDICTION, rows.prediction), (LABEL, rows.label)):
        roles[role] = pa.nulls(len(rows), pa.float64()) if name is None else rows.features.column(name)
    return {**roles, **{name: rows.features.column(name) for name in rows.features.column_names}}


def _empty_columns(types: ColumnTypes, prediction: str | None, label: str | None) -> Columns:
    named = {name: pa.array([], kind.arrow()) for name, kind in types.items()}
    number = pa.array([], pa.float64())
    roles = {WEIGHT: number, EVENT_TIME: pa.array([], _TIME_TYPE)}
    for role, name in ((PREDICTION, prediction), (LABEL, label)):
        roles[role] = named.setdefault(name or role, number)
    return {**roles, **named}
