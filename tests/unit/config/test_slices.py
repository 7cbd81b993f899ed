"""Settings of slices and references."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.config.loading import parse_settings
from monitor.config.settings import ModelSettings
from monitor.errors import ConfigError

MODEL = "models:\n  m:\n    traffic: {files: logs}\n"


def model(text: str) -> ModelSettings:
    return parse_settings(MODEL + text, "f.yaml", {}).models["m"]


def test_slices_and_references_mean_what_they_say() -> None:
    settings = model(
        "    slices: [[origin], [origin, carrier]]\n"
        "    detection:\n"
        "      references: [training, seasonal, pinned]\n"
        "      seasons: [1d]\n"
        "      pinned: {start: 2026-03-01T00:00:00Z, end: 2026-03-02T00:00:00+01:00}\n"
    )
    assert settings.slices == [["origin"], ["origin", "carrier"]]
    assert settings.detection.seasons == [timedelta(days=1)]
    assert settings.detection.pinned is not None
    assert settings.detection.pinned.end == datetime(2026, 3, 1, 23, tzinfo=UTC)


def test_without_a_word_windows_are_compared_with_training_and_the_previous_one() -> None:
    settings = model("")
    assert (settings.slices, settings.detection.references) == ([], ["training", "previous"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("slices: [[]]", "models.m.slices[0]: List should have at least 1 item", id="no column"),
        pytest.param("slices: [['']]", "models.m.slices[0][0]: String should have at least 1 char", id="empty name"),
        pytest.param(
            "slices: [[a], [b, a], [a, b]]", "`slices` names a column, or a list", id="the same crossing twice"
        ),
        pytest.param("slices: [[a, a]]", "`slices` names a column, or a list", id="a column crossed with itself"),
        pytest.param(
            "detection: {references: [previous, previous]}", "names one of them twice", id="a reference twice"
        ),
        pytest.param("detection: {references: [pinned]}", "goes with a `pinned` range", id="pinned to nothing"),
        pytest.param(
            "detection: {pinned: {start: 2026-03-01T00:00:00Z, end: 2026-03-02T00:00:00Z}}",
            "goes with a `pinned` range",
            id="a range that is no reference",
        ),
        pytest.param(
            "detection: {references: [pinned], pinned: {start: 2026-03-02T00:00:00Z, end: 2026-03-02T00:00:00Z}}",
            "`end` must be after `start`",
            id="an empty range",
        ),
        pytest.param(
            "detection: {references: [pinned], pinned: {start: '2026-03-02T00:00:00', end: '2026-03-03T00:00:00'}}",
            "should have timezone info",
            id="a time without a zone",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        model(f"    {text}\n")
    assert expected in str(raised.value)
