"""Alembic's entry: runs migrations on the connection that the ledger hands over."""

from __future__ import annotations

from alembic import context

from monitor.store import loop_tables

context.configure(connection=context.config.attributes["connection"], target_metadata=loop_tables.alerts.metadata)
context.run_migrations()
