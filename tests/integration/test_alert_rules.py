"""The alert rules, as Prometheus itself reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        reason = "promtool is not on PATH (apt-get install prometheus)"
        if os.environ.get("DRIFTLINE_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alert_rules/driftline.yaml"), ("test", "rules", "alert_rules/tests/driftline_test.yaml")],
    ids=["the rules are valid", "each rule fires when it should and only then"],
)
def test_promtool_accepts(promtool: str, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([promtool, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
