"""`driftline check --explain`: what is printed is enough to do the verdict again; and settings of a comparison in a file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

Driftline = Callable[..., Any]


def rows(seed: int, ua: float, shift: float = 0.0) -> pa.Table:
    random = np.random.default_rng(seed)
    rest = (1.0 - ua) / 2.0
    return pa.table(
        {
            "carrier": random.choice(["UA", "AA", "DL"], 2_000, p=[ua, rest, rest]),
            "delay": random.normal(shift, 1.0, 2_000),
            "gate": pa.array([None if each < 0.1 else "A" for each in random.random(2_000)]),
        }
    )


@pytest.fixture
def sides(tmp_path: Path) -> tuple[str, ...]:
    parquet.write_table(rows(1, 0.5), tmp_path / "r.parquet")
    parquet.write_table(rows(2, 0.7, 0.1), tmp_path / "c.parquet")
    return ("check", "--reference", str(tmp_path / "r.parquet"), "--current", str(tmp_path / "c.parquet"))


def finding(driftline: Driftline, sides: tuple[str, ...], feature: str, measure: str, *options: str) -> dict[str, Any]:
    (found,) = json.loads(driftline(*sides, "--format", "json", *options).stdout)
    (one,) = [each for each in found["findings"] if (each["feature"], each["measure"]) == (feature, measure)]
    assert isinstance(one, dict)
    return one


def counts(page: str) -> dict[str, tuple[float, float]]:
    """Return the reference's and the window's printed counts by cell."""
    found = re.findall(r"^ ?(\S.*?)  +([\d,]+) +(?:[\d.]+%)? +([\d,]+)(?: +[\d.]+% +[\d.]+%)? *$", page, re.MULTILINE)
    return {name.strip(): (float(a.replace(",", "")), float(b.replace(",", ""))) for name, a, b in found}


def test_the_printed_numbers_give_the_value_and_the_threshold(driftline: Driftline, sides: tuple[str, ...]) -> None:
    ran = driftline(*sides, "--explain", "carrier")
    assert ran.code == 3
    cells = counts(ran.stdout)
    big, n = cells["effective rows"]
    assert cells["all with a value"] == (2_000.0, 2_000.0)
    q, p = (np.array([cells[name][side] for name in ("AA", "DL", "UA")]) / 2_000.0 for side in (0, 1))
    pooled = (p * n + q * big) / (n + big)
    found = finding(driftline, sides, "carrier", "cohens_w")
    assert math.sqrt(float(((p - q) ** 2 / pooled).sum())) == pytest.approx(found["value"], rel=1e-9)

    text = " ".join(ran.stdout.split())
    assert (
        f"Cohen's w {found['value']:.3g}, limit {found['threshold']:.3g}, p = {found['p_value']:.3g}: flagged" in text
    )
    null = re.search(
        r"3 cells; w\^2 is ([\d.]+) x chi-square\(2\) / 2, above ([\d.]+) with probability ([\d.e-]+)", text
    )
    assert null is not None
    mean, quantile, level = map(float, null.groups())
    assert mean == pytest.approx(2.0 * (n + big) / (n * big), rel=1e-3)
    assert max(0.1, math.sqrt(quantile)) == pytest.approx(found["threshold"], rel=1e-3)
    # The tail of chi-square with two degrees of freedom is exp(-x / 2).
    assert quantile == pytest.approx(-mean * math.log(level), rel=2e-3)
    shared = re.search(r"half of 0\.01 / (\d+) comparisons of this window = ([\d.e-]+) for each", text)
    assert shared is not None
    assert 0.005 / int(shared[1]) == pytest.approx(level, rel=1e-2) == pytest.approx(float(shared[2]), rel=1e-2)


@pytest.mark.parametrize(
    ("feature", "measures"),
    [
        ("carrier", ["cohens_w", "missing_rate", "unseen_share"]),
        ("delay", ["cohens_w", "cohens_d", "missing_rate", "out_of_range_share"]),
        ("gate", ["cohens_w", "missing_rate", "unseen_share"]),
    ],
)
def test_every_comparison_of_the_feature_is_shown_with_its_numbers(
    driftline: Driftline, sides: tuple[str, ...], feature: str, measures: list[str]
) -> None:
    ran = driftline(*sides, "--explain", feature)
    text = " ".join(ran.stdout.split())
    names = {"cohens_w": "Cohen's w", "cohens_d": "Cohen's d"}
    for measure in measures:
        found = finding(driftline, sides, feature, measure)
        name, verdict = names.get(measure, measure.replace("_", " ")), "flagged" if found["flagged"] else "not flagged"
        assert (
            f"{name} {found['value']:.3g}, limit {found['threshold']:.3g}, p = {found['p_value']:.3g}: {verdict}"
            in text
        )
        assert found["explanation"] in text
    assert text.count("formula") == len(measures)
    for said in (f"{feature} against training", "distances on these cells", "jensen shannon", "psi", "missing"):
        assert said in text


@pytest.mark.parametrize(("current", "code"), [("r.parquet", 0), ("c.parquet", 3)])
def test_the_exit_code_is_that_of_the_verdict(
    driftline: Driftline, sides: tuple[str, ...], tmp_path: Path, current: str, code: int
) -> None:
    assert driftline(*sides[:-1], tmp_path / current, "--explain", "gate").code == code


def test_an_explanation_goes_to_a_file_whole(driftline: Driftline, sides: tuple[str, ...], tmp_path: Path) -> None:
    ran = driftline(*sides, "--explain", "gate", "--output", tmp_path / "gate.txt")
    assert ran.stdout == ""
    assert "gate against training" in (tmp_path / "gate.txt").read_text()


def test_a_feature_that_is_not_compared_is_a_usage_error_that_names_those_that_are(
    driftline: Driftline, sides: tuple[str, ...], tmp_path: Path
) -> None:
    ran = driftline(*sides, "--explain", "carier", "--output", tmp_path / "none.txt")
    assert (ran.code, ran.stdout) == (2, "")
    assert "'carier' is not compared; compared are: carrier, delay, gate" in ran.stderr
    assert not (tmp_path / "none.txt").exists()
    assert "Traceback" not in ran.stderr


def test_settings_of_a_file_decide_and_are_explained(
    driftline: Driftline, sides: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "detection.yaml"
    file.write_text("false_alarm_rate: 0.05\nfeatures:\n  carrier: {thresholds: {psi: 3}}\n  gate: {ignore: true}\n")
    ran = driftline(*sides, "--detection", file, "--explain", "carrier")
    assert ran.code == 0, "the psi is below what this person allows"
    assert "half of 0.05 / 5 comparisons of this window = 0.005 for each" in " ".join(ran.stdout.split())
    assert "your own threshold decides about this feature" in ran.stdout
    found = finding(driftline, sides, "carrier", "psi", "--detection", str(file))
    assert (found["threshold"], found["flagged"], found["reason"]) == (3.0, False, "your own threshold")
    ignored = driftline(*sides, "--detection", file, "--explain", "gate")
    assert ignored.code == 2
    assert "compared are: carrier, delay" in ignored.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("min_effect: 0.2\nfalse_alarms: 0.1\n", ":2: false_alarms: unknown key", id="no such key"),
        pytest.param(
            "features:\n  carrier:\n    ignored: true\n", ":3: features.carrier.ignored: unknown key", id="deep"
        ),
        pytest.param(
            "features: {delay: {thresholds: {psy: 1}}}\n", ":1: features.delay.thresholds.psy", id="no measure"
        ),
        pytest.param("false_alarm_rate: 2\n", ":1: false_alarm_rate: Input should be less than 1", id="no rate"),
        pytest.param("references: [pinned]\n", ":1: settings: `pinned` among the `references`", id="no range"),
        pytest.param("- 1\n", ":1: the file must be a mapping of settings", id="a list"),
        pytest.param("a: [\n", ": not valid YAML", id="no YAML"),
        pytest.param(None, "cannot read ", id="no file"),
    ],
)
def test_settings_that_are_wrong_are_exit_2_with_file_and_line(
    driftline: Driftline, sides: tuple[str, ...], tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "detection.yaml"
    if content is not None:
        file.write_text(content)
    ran = driftline(*sides, "--detection", file)
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("driftline: ")
    assert str(file) in ran.stderr
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
