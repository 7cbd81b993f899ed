"""The tables in the code and those that the migrations make are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, column, create_engine, table, text

from monitor.store import database as database_module
from monitor.store import loop_tables
from monitor.store.database import Database


def test_the_migrations_lead_to_the_tables(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), loop_tables.alerts.metadata) == []
    database.close()


def test_counts_of_before_there_were_strata_are_of_the_default_one_and_can_go_back(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/ledger.db"
    engine = create_engine(address)
    row = {
        "cut_id": "c",
        "kind": "traffic",
        "model": "m",
        "version": "1",
        "window_start": 0,
        "window_end": 1,
        "team": "t",
    }
    with engine.begin() as connection:
        _migrate(connection, command.upgrade, "0001")
        _insert(connection, row | {"records": 5, "sampled_out": 2})
        _migrate(connection, command.upgrade, "0002")
        assert connection.execute(text("SELECT stratum, records FROM window_counts")).all() == [("", 5)]
        _insert(connection, row | {"records": 3, "sampled_out": 1, "stratum": "s=1"})
        _migrate(connection, command.downgrade, "0001")
        assert connection.execute(text("SELECT records, sampled_out FROM window_counts")).all() == [(8, 3)]
    engine.dispose()


def _insert(connection: Connection, row: dict[str, object]) -> None:
    connection.execute(table("window_counts", *map(column, row)).insert().values(row))


def _migrate(connection: Connection, step: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    step(config, revision)


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        Database(f"sqlite:///{tmp_path}/ledger.db").close()


def test_all_migrations_can_go_back_and_forth(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/ledger.db")
    with engine.begin() as connection:
        for step, revision in ((command.upgrade, "head"), (command.downgrade, "base"), (command.upgrade, "head")):
            _migrate(connection, step, revision)
        assert compare_metadata(MigrationContext.configure(connection), loop_tables.alerts.metadata) == []
    engine.dispose()
