"""The only door to DuckDB: a database in memory that sees the rows of one window and nothing else; changes when DuckDB does.

Rows are lent as Arrow streams: nothing is copied to disk, and only the columns that a rule names are read. Files, network,
extensions and Python's own objects are out of reach before any rule's SQL is seen.
"""

from __future__ import annotations

import difflib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.validations.expressions import TABLE, Expression, RuleError, read_expression, selecting, wrapped
from monitor.jobs.arrow_stream import ArrowStream

if TYPE_CHECKING:
    import duckdb

_CLOSED = (
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "allow_community_extensions",
    "python_enable_replacements",
    "enable_external_access",
    # A division by zero gives NULL; NaN would be greater than any number, and hold where nothing does.
    "ieee_floating_point_ops",
    "error_on_division_by_zero",
)

Columns = Mapping[str, pa.Array | pa.ChunkedArray]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one rule may use."""

    memory_bytes: int = 512 * 1024 * 1024
    seconds: float = 10.0


@contextmanager
def rule_database(columns: Columns, rows: int, limits: Limits) -> Iterator[RuleDatabase]:
    """Lend a database over `rows` rows of `columns`, closed afterwards."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": "1", "temp_directory": ""})
    try:
        connection.execute(f"SET memory_limit = '{limits.memory_bytes}B'")
        for setting in _CLOSED:
            connection.execute(f"SET {setting} = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET lock_configuration = true")
        yield RuleDatabase(connection, columns, rows, limits)
    finally:
        connection.close()


class RuleDatabase:
    """Answers expressions over the rows; every method raises RuleError for what cannot be answered."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, columns: Columns, rows: int, limits: Limits) -> None:
        self._connection = connection
        self._columns = columns
        self._rows = rows
        self._limits = limits

    def expression(self, sql: str) -> Expression:
        """Return a rule's SQL, parsed and allowed."""
        return read_expression(sql, json.loads(str(self._asked("SELECT json_serialize_sql(?)", [wrapped(sql)]))))

    def value(self, expression: Expression) -> object:
        """Return the value of an expression over all rows, as Python has it; None for NULL."""
        self._lend(expression)
        return self._asked(expression.query, names=expression.names)

    def type_of(self, expression: Expression) -> str:
        """Return DuckDB's name of the type of an expression's value."""
        self._lend(expression)
        query = f"SELECT typeof(value) FROM ({expression.query}) AS answer(value)"  # noqa: S608, read and allowed
        return str(self._asked(query, names=expression.names))

    def operands(self, expression: Expression) -> Iterator[tuple[str, object]]:
        """Yield what the comparisons of an expression compare: text and value of each that has one value."""
        self._lend(expression)
        for operand in expression.operands:
            tree = json.dumps(selecting(operand, expression))
            try:
                query = str(self._asked("SELECT json_deserialize_sql(?)", [tree])).removesuffix(f" FROM {TABLE}")
                value = self._asked(query + expression.source)
            except RuleError:
                continue  # such as a date, which is a cast of a constant: it has a value for each row
            yield query.removeprefix("SELECT ").replace("count_star()", "count(*)"), value

    def _asked(self, query: str, parameters: Sequence[str] = (), names: Sequence[str] = ()) -> object:
        import duckdb

        alarm = threading.Timer(self._limits.seconds, self._connection.interrupt)
        alarm.start()
        try:
            answer = self._connection.execute(f"SELECT * FROM ({query}) LIMIT 2", list(parameters)).fetchall()  # noqa: S608
        except duckdb.InterruptException as error:
            raise RuleError(f"it took longer than {self._limits.seconds:g} seconds") from error
        except duckdb.OutOfMemoryException as error:
            raise RuleError(f"it needs more than {self._limits.memory_bytes >> 20:,} MiB of memory") from error
        except duckdb.Error as error:
            raise RuleError(_said(error) + self._suggestion(names)) from error
        finally:
            alarm.cancel()
            alarm.join()
        if len(answer) != 1:
            raise RuleError(
                "it has a value for each row; sum them up, for instance by bool_and(...), avg(...) or count(*)"
            )
        return answer[0][0]

    def _lend(self, expression: Expression) -> None:
        """Let DuckDB see the columns that an expression names, as its table.

        SQL's names are the same in capitals and small letters, and a feature's are not: the one that is written alike is meant.
        """
        chosen: dict[str, str] = {}
        for name in self._columns if expression.everything else expression.names:
            found = self._column_of(name)
            if found is None:
                continue
            other = chosen.setdefault(found.lower(), found)
            if other != found:
                raise RuleError(f"SQL cannot tell {other!r} and {found!r} apart, which differ in capitals only")
        lent = {name: _without_nan(self._columns[name]) for name in chosen.values()}
        # A table has at least one column; nothing can name this one.
        table = pa.table(lent) if lent else pa.table({"": pa.nulls(self._rows, pa.int8())})
        self._connection.register(TABLE, ArrowStream(table))

    def _column_of(self, name: str) -> str | None:
        if name in self._columns:
            return name
        return next((each for each in self._columns if each.lower() == name.lower()), None)

    def _suggestion(self, names: Sequence[str]) -> str:
        for name in names:
            close = difflib.get_close_matches(name, self._columns, n=1)
            if close and self._column_of(name) is None:
                return f"; did you mean {close[0]!r}?"
        return ""


def _said(error: Exception) -> str:
    line = str(error).strip().splitlines()[0].rstrip("!.")
    return line.partition(" Error: ")[2] or line


def _without_nan(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
