"""Settings of alerts: what is wrong is told at its key, with its line."""

from __future__ import annotations

import pytest

from monitor.config.loading import parse_settings
from monitor.config.settings import Settings
from monitor.errors import ConfigError

MODEL = "models:\n  m:\n    traffic: {files: logs}\n"
RULE = "alerts:\n  - alert: A\n    expr: {findings: ''}\n"


def parsed(text: str) -> Settings:
    return parse_settings(MODEL + text, "f.yaml", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "routes:\n  - {receivers: [x]}\n", "f.yaml:5: routes[0].receivers: no receiver 'x'", id="unknown receiver"
        ),
        pytest.param(
            RULE + "    models: [m, q]\n", "f.yaml:7: alerts[0].models: no model 'q'; there is: m", id="model"
        ),
        pytest.param(
            RULE + "  - {alert: A, no_data_for: 1h}\n", "f.yaml:7: alerts[1].alert: there are two rules 'A'", id="twice"
        ),
        pytest.param(
            RULE + "    annotations:\n      summary: '{{ modle }}'\n",
            "f.yaml:8: alerts[0].annotations.summary: unknown name 'modle' in a template; it can name labels, model,",
            id="unknown name in a template",
        ),
        pytest.param(
            RULE + "    annotations: {summary: '{{ model '}\n",
            "f.yaml:7: alerts[0].annotations.summary: no template: unexpected end of template",
            id="no template",
        ),
        pytest.param(
            RULE + "    annotations: {summary: '{{ model | shout }}'}\n", "No filter named 'shout'", id="unknown filter"
        ),
        pytest.param(
            RULE + "    annotations: {summary: '{% include \"/etc/passwd\" %}'}\n", "this template fails", id="a file"
        ),
        pytest.param(
            RULE + "    annotations: {summary: '{{ 1 / 0 }}'}\n", "division by zero", id="a template that fails"
        ),
        pytest.param(
            RULE + "    for: 3\n    of: 2\n", "f.yaml:5: alerts[0]: `of` is at least `for`", id="of below for"
        ),
        pytest.param(
            "alerts:\n  - {alert: A, no_data_for: 1h, for: 2}\n",
            "`for` counts windows, of which",
            id="no data for windows",
        ),
        pytest.param(
            RULE + "    labels: {severity: x}\n", "label 'severity' is every alert's own", id="reserved label"
        ),
        pytest.param(RULE + "    labels: {'a-b': x}\n", "'a-b' is no name of a label", id="no label"),
        pytest.param(
            "alerts:\n  - alert: A\n    expr: {findings: 'kind'}\n",
            "alerts[0].expr.findings: 'kind' is no",
            id="matcher",
        ),
        pytest.param("alerts:\n  - {alert: A}\n", "give either `expr` or `no_data_for`", id="nothing asked"),
        pytest.param(
            "alerts:\n  - alert: A\n    expr: {findings: '', quality: ''}\n",
            "give exactly one of",
            id="two asked at once",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_key(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(text)
    assert expected in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_all_that_is_misnamed_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(RULE + "    models: [q]\nroutes:\n  - {receivers: [x, y]}\n")
    assert len(str(raised.value).splitlines()) == 3


def test_without_rules_there_are_two_of_their_own() -> None:
    assert [rule.alert for rule in parsed("").alerts] == ["TrafficChanged", "QualityLost"]
    assert not parsed("alerts: []\n").alerts
