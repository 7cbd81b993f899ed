"""Settings of trainers: each kind takes its own keys, and nothing that a trainer says chooses where to connect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.config.json_paths import steps_of, value_at
from monitor.config.loading import load_settings, parse_settings
from monitor.config.trainers import TrainerSettings
from monitor.errors import ConfigError

HTTP = {"type": "http", "url": "https://trainer.example/runs"}
OWN = {**HTTP, "body": {"id": "{{ retrain_id }}"}}
STATUS = {"url": "https://trainer.example/runs/{reference}", "state": "state", "completed": ["ok"], "failed": ["no"]}
COMMAND = {"type": "command", "command": ["./train.py"]}
GITHUB = {"github": {"repository": "acme/models", "workflow": "retrain.yml"}}


@pytest.mark.parametrize(
    "given_settings",
    [
        {**HTTP, "airflow": {"dag": "retrain"}, "headers": {"Authorization": "Bearer x"}},
        {**HTTP, "kubeflow": {"pipeline_id": "p"}, "token_file": "/run/token"},
        {**HTTP, "jenkins": {"job": "a/b"}, "timeout": "5s"},
        {**HTTP, **GITHUB},
        OWN,
        {**OWN, "status": STATUS, "cancel": {"url": "https://x/{retrain_id}"}, "method": "PUT", "already": [409, 422]},
        {**COMMAND, "environment": ["HOME"], "time_limit": "2h", "folder": "training"},
        {"type": "kafka", "topic": "retrains"},
    ],
)
def test_these_are_trainers(given_settings: dict[str, Any]) -> None:
    assert TrainerSettings.model_validate(given_settings).type == given_settings["type"]


@pytest.mark.parametrize(
    ("given_settings", "why"),
    [
        ({"type": "http"}, "`type: http` needs `url`"),
        ({"type": "command"}, "`type: command` needs `command`"),
        ({"type": "kafka"}, "`type: kafka` needs `topic`"),
        ({**COMMAND, "topic": "t"}, "`topic` does not go with `type: command`"),
        ({**OWN, "command": ["x"]}, "`command` does not go with `type: http`"),
        ({"type": "kafka", "topic": "t", "url": "http://x"}, "`url` does not go with `type: kafka`"),
        (HTTP, "give one of `airflow`, `kubeflow`, `vertex`, `jenkins`, `github` and `body`"),
        ({**OWN, **GITHUB}, "give one of"),
        ({**HTTP, **GITHUB, "status": STATUS}, "`status` goes with `body`"),
        ({**HTTP, **GITHUB, "method": "PUT"}, "`method` goes with `body`"),
        ({**OWN, "url": "ftp://x"}, "not an http or https address"),
        ({**OWN, "url": "https://"}, "not an http or https address"),
        ({**OWN, "url": "https://x:port/"}, "not an http or https address"),
        ({**OWN, "url": "https://x/{retrain_id}"}, "nothing is put into this address"),
        ({**OWN, "status": {**STATUS, "url": "https://{reference}/x"}}, "go into the path or the query"),
        ({**OWN, "status": {**STATUS, "url": "https://{reference}@x/{reference}"}}, "go into the path or the query"),
        ({**OWN, "status": {**STATUS, "url": "https://x/#{reference}"}}, "go into the path or the query"),
        ({**OWN, "status": {**STATUS, "url": "https://x/{model}"}}, "knows {reference} and {retrain_id} only"),
        ({**OWN, "cancel": {"url": "https://x.{retrain_id}/"}}, "go into the path or the query"),
        ({**OWN, "status": {**STATUS, "failed": ["ok"]}}, "the state 'ok' is named twice"),
        ({**OWN, "status": {**STATUS, "state": "a..b"}}, "is not a path such as"),
        ({**OWN, "reference": "[x]"}, "is not a path such as"),
        ({**OWN, "already": [200]}, "greater than or equal to 400"),
        ({**OWN, "body": {"a": "{{ nothing }}"}}, "uses 'nothing'; known are: baseline, callbacks"),
        ({**OWN, "body": {"a": [{"b": "{{ model "}]}}, "is no template"),
        ({**OWN, "body": {"a": float("nan")}}, "no NaN"),
        ({**OWN, "body": {"a": Path("x")}}, "no JSON value; put it in quotes"),
        ({**OWN, "headers": {"A B": "x"}}, "the header 'A B' cannot be sent"),
        ({**OWN, "headers": {"A": "x\r\nB: y"}}, "the header 'A' cannot be sent"),
        ({**OWN, "headers": {"A": "x", "a": "y"}}, "`headers` has a name twice"),
        ({**OWN, "headers": {"authorization": "x"}, "token_file": "t"}, "give either `token_file` or a header"),
        ({**COMMAND, "command": []}, "at least 1 item"),
        ({**COMMAND, "command": ["x", ""]}, "at least 1 character"),
        ({**COMMAND, "environment": ["A=b"]}, "should match pattern"),
        ({**HTTP, "github": {"repository": "../x/y", "workflow": "w"}}, "should match pattern"),
        ({"type": "http", "url": "https://x", "airflow": {}}, "Field required"),
    ],
)
def test_these_are_not_and_say_why(given_settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TrainerSettings.model_validate(given_settings)
    assert why in "\n".join(each["msg"] for each in raised.value.errors(include_input=False))


def test_a_trainer_behind_a_topic_needs_a_broker() -> None:
    text = "models: {m: {traffic: {files: x}, retrain: {trainer: {type: kafka, topic: t}}}}\n"
    with pytest.raises(ConfigError, match="trainer of model 'm' reads a topic, but there is no `kafka` section"):
        parse_settings(text, "f.yaml", {})
    assert parse_settings(text + "kafka: {bootstrap_servers: [x:1]}\n", "f.yaml", {}).kafka is not None


def test_no_secret_is_shown() -> None:
    settings = TrainerSettings.model_validate(
        {**OWN, "url": "https://x/?key=s3cr3t", "headers": {"Authorization": "s3cr3t"}}
    )
    assert "s3cr3t" not in repr(settings) + settings.model_dump_json()


def test_places_are_taken_from_the_folder_of_the_settings(tmp_path: Path) -> None:
    text = (
        "models:\n"
        "  a: {traffic: {files: x}, retrain: {trainer: {type: command, command: [./t], folder: train}}}\n"
        "  b: {traffic: {files: x}, retrain: {trainer: {type: command, command: [./t]}}}\n"
        "  c: {traffic: {files: x}, retrain: {trainer: {type: http, url: 'http://x', airflow: {dag: d}, token_file: t}}}\n"
    )
    (tmp_path / "driftline.yaml").write_text(text)
    models = load_settings(tmp_path / "driftline.yaml").models
    trainers = [model.retrain.trainer for model in models.values() if model.retrain]
    assert [each.folder for each in trainers] == [str(tmp_path / "train"), str(tmp_path), "."]
    assert trainers[2].token_file == str(tmp_path / "t")


DOCUMENT = {"a": {"b": [{"c": 1}, {"odd key": 2}], "$x": 3}, "0": 4}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b[0].c", 1),
        ("$.a.b[0].c", 1),
        ("a.b[1]['odd key']", 2),
        ("a.$x", 3),
        ("['0']", 4),
        ("$", DOCUMENT),
        ("a.b[2].c", None),
        ("a.b.c", None),
        ("a[0]", None),
        ("x", None),
    ],
)
def test_a_path_finds_what_is_there_and_nothing_else(path: str, value: Any) -> None:
    assert value_at(DOCUMENT, path) == value


@given(st.text(max_size=30))
def test_a_text_is_a_path_or_is_refused(text: str) -> None:
    try:
        steps = steps_of(text)
    except ValueError:
        return
    assert all(isinstance(step, str | int) for step in steps)
    value_at(DOCUMENT, text)
