"""Settings: what is wrong is said with file, line and key; what is right means what it says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import command
from monitor.config.loading import configuration_hash, load_settings, parse_settings
from monitor.config.settings import Settings
from monitor.errors import ConfigError

MODEL = "models:\n  m:\n    traffic: {files: logs}\n"


def parsed(text: str, **environment: str) -> Settings:
    return parse_settings(text, "f.yaml", environment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            MODEL + "    windows: {lenght: 1h}\n", "f.yaml:4: models.m.windows.lenght: unknown key; did you", id="typo"
        ),
        pytest.param(MODEL + "foo: 1\n", "f.yaml:4: foo: unknown key; known here: team", id="unknown key"),
        pytest.param(
            MODEL + "    windows:\n      length: 5 min\n",
            "f.yaml:5: models.m.windows.length: '5 min' is not a dur",
            id="bad duration",
        ),
        pytest.param(
            MODEL + "    sampling: {rate: 2}\n",
            "f.yaml:4: models.m.sampling.rate: Input should be less",
            id="out of range",
        ),
        pytest.param("models:\n  m: {}\n", "f.yaml:2: models.m.traffic: this key is required", id="missing key"),
        pytest.param(
            "models:\n  m:\n    traffic: {topic: t}\n", "there is no `kafka` section", id="topic without kafka"
        ),
        pytest.param(
            MODEL + "store: ${DB}\n", "f.yaml:4: store: the environment variable DB is not set", id="unset variable"
        ),
        pytest.param(MODEL + "team: a\nteam: b\n", "f.yaml:5: team: this key is given twice", id="key given twice"),
        pytest.param("models: [\n", "f.yaml:2: not valid YAML", id="no YAML"),
        pytest.param("models: \x00\n", "f.yaml:1: not valid YAML", id="control characters"),
        pytest.param(
            MODEL + "team: 2026-02-30\n",
            "f.yaml:4: team: this cannot be read as 'timestamp'; quote what is text",
            id="a day that no month has",
        ),
        pytest.param(MODEL + "team: !!timestamp foo\n", "f.yaml:4: team: this cannot be", id="a tag that does not fit"),
        pytest.param(
            MODEL + "store: !vault x\n", "f.yaml:4: store: this cannot be read as '!vault'", id="a tag of others"
        ),
        pytest.param(MODEL + "team: !!binary a\n", "f.yaml:4: team: this cannot be read as 'binary'", id="no base 64"),
        pytest.param(
            MODEL + "gpus: &a [*a]\n", "f.yaml:4: gpus[0]: an alias stands for what it is a part of", id="a circle"
        ),
        pytest.param("a: " + "[" * 5_000, "f.yaml:1: not valid YAML: it is nested too deeply", id="endless nesting"),
        pytest.param(
            MODEL + "api: {listen: 'x:65536'}\n",
            "f.yaml:4: api.listen: a port is at most 65535",
            id="a port of no machine",
        ),
        pytest.param(MODEL + "monitor: {listen: 'x'}\n", "f.yaml:4: monitor.listen: String should match", id="no port"),
        pytest.param("- 1\n", "f.yaml:1: the file must be a mapping", id="a list"),
        pytest.param("", "f.yaml:1: the file must be a mapping", id="empty"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(text)
    assert expected in str(raised.value)


def test_every_mistake_gets_its_line() -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(MODEL + "    sampling: {rate: 2}\nfoo: 1\n")
    assert len(str(raised.value).splitlines()) == 2


def test_a_secret_comes_from_the_environment_and_stays_out_of_sight() -> None:
    text = (
        MODEL + "kafka: {bootstrap_servers: [a:1], security_protocol: SASL_SSL, sasl_mechanism: PLAIN,\n"
        "  sasl_plain_username: u, sasl_plain_password: '${PW}'}\n"
    )
    settings = parsed(text, PW="hunter2")
    assert settings.kafka is not None
    assert settings.kafka.sasl_plain_password is not None
    assert settings.kafka.sasl_plain_password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1d", 86400), ("500ms", 0.5), ("1.5h", 5400)],
)
def test_durations(text: str, expected: float) -> None:
    settings = parsed(MODEL + f"    windows: {{allowed_lateness: {text}}}\n")
    assert settings.models["m"].windows.allowed_lateness == timedelta(seconds=expected)


def test_relative_paths_are_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "driftline.yaml"
    path.write_text(MODEL)
    settings = load_settings(path, {})
    assert settings.store == f"sqlite:///{tmp_path}/state/driftline.db"
    assert settings.spans.uri == f"file:{tmp_path}/state/spans"
    assert settings.models["m"].traffic.files == f"{tmp_path}/logs"


def test_so_are_those_of_candidates_and_of_what_serves_them(tmp_path: Path) -> None:
    path = tmp_path / "driftline.yaml"
    serving = (
        "{model_config_file: models.config, rest: 'http://h:8501', grpc: 'h:8500', grpc_ca_file: /etc/ca, base_path: m}"
    )
    trainer = "trainer: {type: command, command: [train]}"
    path.write_text(f"{MODEL}    retrain: {{{trainer}, canary: {{tf_serving: {serving}}}}}\n")
    settings = load_settings(path, {})
    assert settings.candidates == f"file:{tmp_path}/candidates"
    retrain = settings.models["m"].retrain
    assert retrain is not None
    assert retrain.canary is not None
    found = retrain.canary.tf_serving
    assert found is not None
    assert (found.model_config_file, found.base_path) == (tmp_path / "models.config", tmp_path / "m")
    assert str(found.grpc_ca_file) == "/etc/ca"


def test_the_hash_of_the_settings_changes_with_any_setting_and_only_then() -> None:
    one = parsed(MODEL).models["m"]
    other = parsed(MODEL + "    detection: {false_alarm_rate: 0.02}\n").models["m"]
    assert configuration_hash(one) == configuration_hash(parsed(MODEL).models["m"])
    assert configuration_hash(one) != configuration_hash(other)


def test_init_writes_settings_that_check_config_finds_right(tmp_path: Path) -> None:
    runner = CliRunner()
    made = runner.invoke(command, ["init", str(tmp_path / "new")])
    assert made.exit_code == 0
    checked = runner.invoke(command, ["check-config", str(tmp_path / "new" / "driftline.yaml")])
    assert checked.exit_code == 0
    assert "my_model" in checked.output


def test_init_leaves_an_existing_file_alone(tmp_path: Path) -> None:
    (tmp_path / "driftline.yaml").write_text("mine")
    again = CliRunner().invoke(command, ["init", str(tmp_path)])
    assert isinstance(again.exception, ConfigError)
    assert (tmp_path / "driftline.yaml").read_text() == "mine"
