"""Opening the database: SQLite and PostgreSQL made to behave alike, and their errors translated in one place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError

from monitor.clock import from_micros, to_micros
from monitor.errors import ConfigError, StaleClaim, TransientError

_BUSY_TIMEOUT_MS = 30_000
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x64726966  # any constant that all Driftline processes share


class Database:
    """An engine whose transactions are serialised writers, or consistent readers. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Open `url` and bring its tables to this version's; raises ConfigError or TransientError."""
        self.engine = _engine(url)
        # Writers take row locks and must then see what was committed while they waited; readers want one snapshot.
        self._write_isolation = "READ COMMITTED" if self.engine.dialect.name == "postgresql" else "SERIALIZABLE"
        with _translated():
            _migrate(self.engine)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Run one write transaction; on SQLite nobody else writes meanwhile.

        Raises:
            StaleClaim: a row that must be new exists, or the transaction lost against another one.
            TransientError: the database is gone, locked for too long, or out of room.
        """
        with _translated(), self.engine.connect() as connection:
            connection.execution_options(driftline_write=True, isolation_level=self._write_isolation)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run one read transaction on a consistent snapshot."""
        with _translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def micros(moment: datetime | None) -> int | None:
    """Return a time as a column holds it."""
    return None if moment is None else to_micros(moment)


def moment(value: int | None) -> datetime | None:
    """Return a column's time."""
    return None if value is None else from_micros(value)


def unsigned(value: int) -> str:
    """Return an unsigned 64-bit number (or 2**64) as text that orders like the number."""
    return f"{value:020d}"


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url)
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_pre_ping=True, isolation_level="REPEATABLE READ")
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(f"store: not a database address: {error}") from error
    except ModuleNotFoundError as error:
        raise ConfigError("store: PostgreSQL needs its driver: pip install 'driftline[postgres]'") from error
    raise ConfigError(f"store: {parsed.get_backend_name()} is not supported; use sqlite:/// or postgresql+psycopg://")


def _sqlite(url: str) -> Engine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise ConfigError("store: an SQLite ledger needs a file, as in sqlite:///state/driftline.db")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"store: cannot make the folder of {path}: {error.strerror}") from error
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN is deferred and would fail late with "database is locked"; ours is issued below.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("driftline_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _migrate(engine: Engine) -> None:
    """Upgrade to the newest schema, one process at a time; cheap when there is nothing to do."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection, connection.begin():
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
    with engine.connect() as connection:
        connection.execution_options(driftline_write=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


_SERIALIZATION_FAILURES = {"40001", "40P01"}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise StaleClaim(f"the ledger was changed by somebody else meanwhile: {error.orig}") from error
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) in _SERIALIZATION_FAILURES:
            raise StaleClaim("the ledger was changed by somebody else meanwhile") from error
        raise TransientError(f"store: {_first_line(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error.orig, sqlite3.Error):
            raise TransientError(f"store: {_first_line(error)}") from error
        raise


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
