"""The API that these tests ask."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.store.ledger import Ledger
from tests.apis import Api, opened


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger without rows: making its tables takes longer than most of these tests."""
    folder = tmp_path_factory.mktemp("empty")
    Ledger.open(f"sqlite:///{folder}/driftline.db", "default").close()
    return folder / "driftline.db"


@pytest.fixture
def api(empty: Path, tmp_path: Path) -> Iterator[Api]:
    """Return an API of the test's own."""
    shutil.copy(empty, tmp_path)
    with opened(tmp_path) as api:
        yield api


@pytest.fixture(scope="session")
def shared(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Return an API that all tests ask what changes nothing."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copy(empty, folder)
    with opened(folder) as api:
        yield api
