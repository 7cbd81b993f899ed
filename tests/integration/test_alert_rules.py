"""The alert rules and the example beside them, as Prometheus and Alertmanager themselves read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.prometheus import binary

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted(path.stem for path in (ROOT / "alert_rules").glob("*.yaml") if path.stem != "alertmanager")


@pytest.mark.parametrize("name", RULES)
def test_the_rules_are_valid_and_fire_when_they_should_and_only_then(name: str) -> None:
    promtool = binary("promtool")
    _accepted(promtool, "check", "rules", f"alert_rules/{name}.yaml")
    _accepted(promtool, "test", "rules", f"alert_rules/tests/{name}_test.yaml")


def test_prometheus_takes_all_of_them_by_the_pattern_of_the_runbooks(tmp_path: Path) -> None:
    pattern = "alert_rules/[^a]*.yaml"
    assert f'rule_files: ["{pattern}"]' in (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
    config = tmp_path / "prometheus.yml"
    config.write_text(f"rule_files: ['{ROOT}/{pattern}']\n")
    said = _accepted(binary("promtool"), "check", "config", str(config))
    assert f"{len(RULES)} rule files found" in said


def test_the_example_of_an_alertmanager_is_valid() -> None:
    said = _accepted(binary("amtool"), "check-config", "alert_rules/alertmanager.yaml")
    assert "2 receivers" in said


def _accepted(program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
