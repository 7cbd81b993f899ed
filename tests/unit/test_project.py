"""What the project says about itself is true: pages, rules and dashboards against the code that they speak of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from collectors.capture.metrics import CaptureMetrics, ProxyMetrics
from collectors.metrics import CollectorMetrics
from monitor.api.metrics import ApiMetrics
from monitor.config.settings import Settings
from monitor.metrics import MonitorMetrics
from monitor.outside.gpu import backlog, fields
from monitor.shipped import shipped
from monitor.store.ledger import Ledger
from monitor.store.metrics import LedgerMetrics

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for folder in ("monitor", "collectors") for path in sorted((ROOT / folder).rglob("*.py"))]
METRIC = re.compile(r"(?<![\w:])(?:driftline_[a-z_]+|DCGM_\w+|:tensorflow:\w+(?::\w+)*)")
RECORDED = re.compile(r"\b(?:model|instance|gpu):\w+:\w+")
FOREIGN = {*fields.METRICS, backlog.LATENCY, backlog.QUEUE}
"""Metrics of NVIDIA's DCGM exporter and of TensorFlow Serving that the adapters of both read."""

PROMETHEUS_SUFFIX = re.compile(r"_(total|bucket|sum|count|created)$")


def _rule_files() -> dict[str, list[dict[str, Any]]]:
    """The rules, recording ones too, by the name of their file."""
    files = {Path(file.name).stem: file for file in shipped("alert_rules").iterdir() if file.name.endswith(".yaml")}
    del files["alertmanager"]  # an example of something else
    documents = {name: yaml.safe_load(file.read_text(encoding="utf-8")) for name, file in sorted(files.items())}
    return {name: [rule for group in each["groups"] for rule in group["rules"]] for name, each in documents.items()}


def _rules() -> list[dict[str, Any]]:
    return [rule for rules in _rule_files().values() for rule in rules if "alert" in rule]


def _recorded() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rules in _rule_files().values() for rule in rules if "record" in rule}


def _queries() -> list[str]:
    dashboard = json.loads(shipped("dashboards").joinpath("driftline.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """The names of all metrics that a process with every role shows."""
    ledger = Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/driftline.db", "default")
    registry = CollectorRegistry()
    registry.register(LedgerMetrics(ledger))
    CollectorMetrics(registry)
    MonitorMetrics.on(registry)
    CaptureMetrics.on(registry)
    ProxyMetrics(registry)
    ApiMetrics.on(registry)
    yield {family.name for family in registry.collect()} | FOREIGN
    ledger.close()


def _committed() -> list[Path]:
    """The text files of the project, by what git would commit; of a copy without git, those beside the sources."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    return [ROOT / name for name in names if name and (ROOT / name).is_file()] or SOURCES


@pytest.mark.parametrize(
    "expression", sorted({*_queries(), *_recorded().values(), *(rule["expr"] for rule in _rules())})
)
def test_a_query_names_metrics_that_exist(expression: str, registered: set[str]) -> None:
    recorded = set(RECORDED.findall(expression))
    named = {PROMETHEUS_SUFFIX.sub("", name) for name in METRIC.findall(RECORDED.sub("", expression))}
    assert named or recorded or expression.startswith("up{")
    assert named <= registered
    assert recorded <= set(_recorded())


def test_every_file_of_rules_is_shipped() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    listed = {name for name in built["wheel"]["force-include"] if name.startswith("alert_rules/")}
    assert listed == {f"alert_rules/{path.name}" for path in (ROOT / "alert_rules").glob("*.yaml")}


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_has_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_every_runbook_is_for_an_alert() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/runbooks.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(headings) == {rule["alert"] for rule in _rules()}


def _promtool_cases(file: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((ROOT / f"alert_rules/tests/{file}_test.yaml").read_text(encoding="utf-8"))
    assert f"../{file}.yaml" in document["rule_files"]
    return [case for test in document["tests"] for case in test.get("alert_rule_test", ())]


@pytest.mark.parametrize("file", sorted(set(_rule_files()) - {"recording"}))
def test_promtool_sees_every_alert_fire_and_not_fire(file: str) -> None:
    cases, alerts = _promtool_cases(file), {rule["alert"] for rule in _rule_files()[file]}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


@pytest.mark.parametrize("test", sorted((ROOT / "alert_rules/tests").glob("*.yaml")), ids=lambda path: path.stem)
def test_promtool_evaluates_all_groups_in_one_order_recorded_series_first(test: Path) -> None:
    """A group that is not named goes at any time: an alert then sees a series as it was recorded one evaluation before."""
    document = yaml.safe_load(test.read_text(encoding="utf-8"))
    files = [yaml.safe_load((test.parent / file).read_text(encoding="utf-8")) for file in document["rule_files"]]
    groups = [group["name"] for file in files for group in file["groups"]]
    order = document["group_eval_order"]
    assert sorted(order) == sorted(groups)
    recorded = [name.startswith("driftline-recording") for name in order]
    assert recorded == sorted(recorded, reverse=True)


def test_promtool_sees_what_every_recorded_series_comes_to() -> None:
    document = yaml.safe_load((ROOT / "alert_rules/tests/recording_test.yaml").read_text(encoding="utf-8"))
    shown = {
        name
        for test in document["tests"]
        for case in test["promql_expr_test"]
        for name in RECORDED.findall(case["expr"])
    }
    # The mask of reasons is only what the last one is made of.
    assert shown == set(_recorded()) - {"gpu:dcgm_clock_event_reasons:mask"}


def _settings_keys(
    model: type[BaseModel], path: tuple[str, ...] = (), within: frozenset[type[BaseModel]] = frozenset()
) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        inner = _model_inside(field.annotation)
        purpose = field.description or (inner.__doc__ if inner else None) or ""
        yield ".".join([*path, field.alias or name]), purpose
        if inner is not None and inner not in within | {model}:
            yield from _settings_keys(inner, (*path, name), within | {model})


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_inside, get_args(annotation)) if found is not None), None)


@pytest.mark.parametrize(
    ("key", "purpose"), list(_settings_keys(Settings)), ids=[key for key, _ in _settings_keys(Settings)]
)
def test_a_setting_is_documented(key: str, purpose: str) -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8").replace(".NAME", "").replace("[]", "")
    assert purpose, "give its Field a description"
    assert f"| `{key}` |" in page


@pytest.mark.parametrize("generator", ["docs/generate.py", "dashboards/build.py"])
def test_generated_files_are_up_to_date(generator: str) -> None:
    done = subprocess.run(
        [sys.executable, generator, "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_changelog_knows_this_version_or_has_unreleased_changes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog or f"## [{project['version']}]" in changelog


def test_the_lock_covers_both_tensorflow_stacks_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^tensorflow-data-validation==(\S+)", lock, re.MULTILINE))
    assert pinned == {"1.16.1", "1.21.0"}
    requirements = re.split(r"\n(?=\S)", lock)
    assert [requirement for requirement in requirements if "--hash=sha256:" not in requirement] == []


# Spelt in pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "the address of a package registry": re.compile(
        "|".join(
            re.escape(host) for host in ("pypi" + ".org", "files.python" + "hosted.org", "repo.maven" + ".apache.org")
        )
        + "|"
        + re.escape("registry.npmjs" + ".org")
    ),
    "a path of somebody's machine": re.compile(r"(?<![\w.])/(?:" + "wor" + r"k|ro" + r"ot|ho" + r"me)/\w"),
}


@pytest.mark.parametrize(("what", "pattern"), FORBIDDEN.items(), ids=FORBIDDEN)
def test_no_file_names(what: str, pattern: re.Pattern[str]) -> None:
    guilty = []
    for path in _committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        guilty += [f"{path.relative_to(ROOT)}: {found.group()}" for found in pattern.finditer(text)]
    assert not guilty


def test_nothing_imports_tensorflow_before_it_is_needed() -> None:
    program = (
        "import importlib, pkgutil, sys\n"
        "import collectors, monitor\n"
        "for package in (monitor, collectors):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        # What evaluates imports TFMA, and is itself imported only where an evaluation runs.
        "        if '.migrations.' not in module.name and '.evaluate.' not in module.name:\n"
        "            importlib.import_module(module.name)\n"
        "heavy = {'tensorflow', 'tensorflow_data_validation', 'tensorflow_model_analysis', 'apache_beam'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
