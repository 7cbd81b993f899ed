"""What a rule's SQL may be: one expression over the window's rows; changes with what rules are allowed to ask.

SQL is never taken apart by hand: DuckDB parses it, and its syntax tree, as `json_serialize_sql` gives it, is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TABLE = "window_rows"
"""The name by which a rule's subqueries know the rows."""

_ROWS = f" FROM {TABLE}"
_TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series"})
_TABLES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION"})
_FICKLE = frozenset(
    {
        "age", "ago", "current_connection_id", "current_date", "current_localtime", "current_localtimestamp",
        "current_query", "current_query_id", "current_time", "current_timestamp", "current_transaction_id",
        "gen_random_uuid", "get_current_time", "get_current_timestamp", "localtime", "localtimestamp", "nextval", "now",
        "pg_sleep", "random", "setseed", "sleep_ms", "today", "transaction_timestamp", "txid_current", "uuid", "uuidv4",
        "uuidv7", "write_log",
    }
)  # fmt: skip
"""Functions whose value depends on the clock, on chance or on the connection: a verdict must come out the same again."""


class RuleError(Exception):
    """A rule cannot be evaluated; the message says why, for whom wrote it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A rule's SQL, parsed and allowed.

    Attributes:
        query: the SELECT to run, of one column.
        source: how that SELECT ends: with the rows, or with nothing where only subqueries read them.
        tree: its syntax tree, as `json_serialize_sql` gives it.
        names: what it calls columns, in every part of a dotted reference; aliases and lambda parameters are among them.
        everything: it has a star, so it needs all columns.
        operands: syntax trees of what its comparisons compare, constants left out; they explain why it is false.
    """

    query: str
    source: str
    tree: Mapping[str, Any]
    names: tuple[str, ...]
    everything: bool
    operands: tuple[Mapping[str, Any], ...]


def wrapped(sql: str) -> str:
    """Return the SELECT of a rule; the SQL stands on lines of its own, so that a comment in it ends with it."""
    return _selecting(sql, _ROWS)


def _selecting(sql: str, source: str) -> str:
    return f"SELECT (\n{sql}\n){source}"


def read_expression(sql: str, tree: Mapping[str, Any]) -> Expression:
    """Return the expression of a rule.

    Args:
        sql: the rule's SQL.
        tree: `json_serialize_sql` of `wrapped(sql)`.

    Raises:
        RuleError: it is not one expression, or asks for what it may not.
    """
    if tree["error"]:
        raise RuleError(f"it is no SQL expression: {tree['error_message']}")
    statements = tree["statements"]
    selected = statements[0]["node"].get("select_list", ())
    if len(statements) != 1 or len(selected) != 1:
        raise RuleError("it must be one expression, without ';' and without ',' between several")
    nodes = list(_nodes(statements[0]["node"]))
    known = {TABLE} | {str(entry["key"]) for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    for node in nodes:
        _allow(node, known)
    names = {str(part): None for node in nodes if node.get("class") == "COLUMN_REF" for part in node["column_names"]}
    source = "" if _only_subqueries(selected[0]) else _ROWS
    return Expression(
        query=_selecting(sql, source),
        source=source,
        tree=tree,
        names=tuple(names),
        everything=any(node.get("class") == "STAR" for node in nodes),
        operands=tuple(_operands(selected[0])),
    )


def selecting(operand: Mapping[str, Any], expression: Expression) -> Mapping[str, Any]:
    """Return the syntax tree of a SELECT of one operand only, for `json_deserialize_sql`."""
    statement = expression.tree["statements"][0]
    node = {**statement["node"], "select_list": [operand]}
    return {**expression.tree, "statements": [{**statement, "node": node}]}


def _only_subqueries(selected: Mapping[str, Any]) -> bool:
    """Return whether subqueries read all the rows that there are to read; then the whole has one value, not one a row."""
    outer = list(_nodes(selected, into_subqueries=False))
    classes = {node.get("class") for node in outer}
    counted = any(node.get("function_name") == "count_star" for node in outer)
    return "SUBQUERY" in classes and not counted and not classes & {"COLUMN_REF", "STAR"}


def _nodes(tree: Any, *, into_subqueries: bool = True) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, Mapping):
        yield tree
        if into_subqueries or tree.get("class") != "SUBQUERY":
            for branch in tree.values():
                yield from _nodes(branch, into_subqueries=into_subqueries)
    elif isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch, into_subqueries=into_subqueries)


def _allow(node: Mapping[str, Any], known: set[str]) -> None:
    """Raise RuleError for a node that reaches beyond the rows, or whose value changes from run to run."""
    name = str(node.get("function_name", "")).lower()
    bare = node["column_names"][0].lower() if node.get("class") == "COLUMN_REF" else ""
    if name in _FICKLE or bare in _FICKLE:
        raise RuleError(
            f"{name or bare} changes from run to run, so the verdict could not be reproduced; use event_time"
        )
    if node.get("class") == "PARAMETER":
        raise RuleError("it has a parameter, and there is nothing to put in its place")
    # A join's sides are tables too; a comparison's, which have a class, are not.
    for table in (node.get("from_table"), node.get("left"), node.get("right")):
        if table is not None and "class" not in table:
            _allow_table(table, known)


def _allow_table(table: Mapping[str, Any], known: set[str]) -> None:
    if table["type"] not in _TABLES:
        raise RuleError(f"it may read {TABLE} only")
    if table["type"] == "BASE_TABLE" and table["table_name"] not in known:
        raise RuleError(f"it reads {table['table_name']!r}, and may read {TABLE} only")
    if table["type"] == "TABLE_FUNCTION" and table["function"]["function_name"].lower() not in _TABLE_FUNCTIONS:
        raise RuleError(f"it calls {table['function']['function_name']}, and may read {TABLE} only")


def _operands(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what the comparisons of a condition compare, through AND, OR and NOT."""
    kind = node["class"]
    if kind == "CONJUNCTION" or node["type"] == "OPERATOR_NOT":
        for child in node["children"]:
            yield from _operands(child)
        return
    sides = {"COMPARISON": ("left", "right"), "BETWEEN": ("input", "lower", "upper")}.get(kind, ())
    for side in sides:
        if node[side]["class"] != "CONSTANT":
            yield node[side]
