"""Settings of GPUs: what goes together, and what does not."""

from __future__ import annotations

import pytest

from monitor.config.loading import parse_settings
from monitor.errors import ConfigError

MODEL = "models:\n  m:\n    traffic: {files: logs}\n"
URL = "url: 'http://gpu-1:9400/metrics'"


@pytest.mark.parametrize(
    "text",
    [
        "{source: nvml}",
        f"{{source: dcgm, {URL}, hostnames: [gpu-1], devices: ['0'], instances: [1g.10gb], needed: 2}}",
        "{source: prometheus, url: 'http://prometheus:9090', matchers: 'job=\"dcgm\"', backlog: {model_name: m}}",
        f"{{source: dcgm, {URL}, min_free_memory: 20 GiB, backlog: {{url: 'http://serving:8501/metrics'}}}}",
    ],
)
def test_what_is_right(text: str) -> None:
    assert parse_settings(MODEL + f"gpus:\n  g: {text}\n", "f.yaml", {}).gpus["g"].look_back.total_seconds() == 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("{source: dcgm}", "`source: dcgm` needs a `url`", id="an exporter without an address"),
        pytest.param(f"{{source: nvml, {URL}}}", "is this machine and has no `url`", id="this machine with an address"),
        pytest.param("{source: nvml, hostnames: [a]}", "leave `hostnames` out", id="this machine with a host"),
        pytest.param(
            f"{{source: dcgm, {URL}, matchers: 'a=b'}}", "goes with `source: prometheus`", id="matchers elsewhere"
        ),
        pytest.param("{source: dcgm, url: 'file:///etc/passwd'}", "url: String should match", id="no HTTP"),
        pytest.param("{source: nvml, token: a}", "`token` goes with a `url`", id="a token for nobody"),
        pytest.param(
            "{source: nvml, min_free_memory: lots}", "min_free_memory: String should", id="an amount of no unit"
        ),
        pytest.param("{source: nvml, look_back: 1m}", "`stale_after` is more than nothing and at most", id="times"),
        pytest.param("{source: nvml, timeout: 0s}", "`timeout` is more than nothing", id="no time"),
        pytest.param("{source: nvml, backlog: {}}", "`backlog` needs a `url`, or", id="a backlog from nowhere"),
        pytest.param(
            "{source: prometheus, url: 'http://p:9090', backlog: {url: 'http://s/m', matchers: 'a=b'}}",
            "not with `backlog.url`",
            id="matchers for a page",
        ),
    ],
)
def test_what_is_wrong_is_said(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_settings(MODEL + f"gpus:\n  g: {text}\n", "f.yaml", {})
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("    serving_gpus: servign\n", "`serving_gpus` of model 'm' is 'servign'; `gpus` has: serving"),
        (
            "    retrain: {trainer: {type: command, command: [train]}, headroom: {gpus: training}}\n",
            "`retrain.headroom.gpus` of model 'm' is 'training'; `gpus` has: serving",
        ),
    ],
)
def test_a_model_names_gpus_that_there_are(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_settings(MODEL + text + "gpus: {serving: {source: nvml}}\n", "f.yaml", {})
    assert expected in str(raised.value)


def test_gpus_that_are_described_may_be_named() -> None:
    settings = parse_settings(MODEL + "    serving_gpus: serving\ngpus: {serving: {source: nvml}}\n", "f.yaml", {})
    assert settings.models["m"].serving_gpus in settings.gpus
