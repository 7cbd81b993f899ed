"""Reading `driftline.yaml`: YAML with line numbers, `${ENV}`, strict validation, and errors that name file, line and key."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from monitor.config.canary import CanarySettings
from monitor.config.detection import DetectionSettings
from monitor.config.evaluation import EvaluationSettings
from monitor.config.retraining import RetrainSettings
from monitor.config.settings import ModelSettings, Settings
from monitor.config.strict import Strict
from monitor.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

_Path = tuple[str | int, ...]
_Kind = TypeVar("_Kind", bound=Strict)


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and validate a settings file; relative paths in it are taken from its folder.

    Args:
        path: the YAML file.
        environment: variables for `${NAME}`; the process's own by default.

    Raises:
        ConfigError: one line for each thing that is wrong, as `FILE:LINE: KEY: what`.
    """
    text = _text(path, "make one with: driftline init DIR")
    settings = parse_settings(text, str(path), os.environ if environment is None else environment)
    return _anchored(settings, path.resolve().parent)


def load_detection(path: Path) -> DetectionSettings:
    """Read a file that holds what a model's `detection` may say; raises ConfigError as `load_settings`."""
    found = _parsed(
        DetectionSettings, _text(path, "it holds what a model's `detection` may say"), str(path), os.environ
    )
    return _anchored_detection(found, path.resolve().parent)


def parse_settings(text: str, name: str, environment: Mapping[str, str]) -> Settings:
    """Validate the text of a settings file called `name`; see `load_settings`."""
    return _parsed(Settings, text, name, environment)


def _text(path: Path, advice: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}; {advice}") from error


def _parsed(kind: type[_Kind], text: str, name: str, environment: Mapping[str, str]) -> _Kind:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}:1: not valid YAML: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise ConfigError(f"{name}:1: not valid YAML: it is nested too deeply") from None
    if not isinstance(root, yaml.MappingNode):
        wanted = ", with at least `models:`" if kind is Settings else ""
        raise ConfigError(f"{name}:1: the file must be a mapping of settings{wanted}")
    lines: dict[_Path, int] = {(): 1}
    problems: list[str] = []
    values = _values(root, (), lines, problems, environment)
    if problems:
        raise ConfigError("\n".join(f"{name}:{problem}" for problem in problems))
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise ConfigError("\n".join(_explained(kind, name, problem, lines) for problem in found)) from None


def configuration_hash(model: ModelSettings) -> str:
    """Return the SHA-256 (hexadecimal) of everything in a model's settings, defaults included."""
    return hashlib.sha256(model.model_dump_json().encode()).hexdigest()


def _values(
    node: yaml.Node,
    path: _Path,
    lines: dict[_Path, int],
    problems: list[str],
    environment: Mapping[str, str],
    within: tuple[yaml.Node, ...] = (),
) -> Any:
    """Return a node's Python value, noting every key's line and, as problems, what is no value, keys twice, unset variables."""
    lines[path] = node.start_mark.line + 1
    if any(node is outer for outer in within):
        problems.append(f"{lines[path]}: {_dotted(path)}: an alias stands for what it is a part of")
        return None
    within = (*within, node)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in mapping:
                problems.append(f"{key_node.start_mark.line + 1}: {_dotted((*path, key))}: this key is given twice")
            mapping[key] = _values(value_node, (*path, key), lines, problems, environment, within)
            lines[(*path, key)] = key_node.start_mark.line + 1
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [
            _values(each, (*path, index), lines, problems, environment, within) for index, each in enumerate(node.value)
        ]
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, AttributeError, KeyError, IndexError, TypeError):  # as the scalar's tag has it
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        problems.append(f"{lines[path]}: {_dotted(path)}: this cannot be read as {kind!r}; quote what is text")
        return None
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        if match[1] not in environment:
            problems.append(f"{lines[path]}: {_dotted(path)}: the environment variable {match[1]} is not set")
        return environment.get(match[1], "")

    return _VARIABLE.sub(fill, value)


def _explained(kind: type[Strict], name: str, problem: Any, lines: dict[_Path, int]) -> str:
    path: _Path = tuple(problem["loc"])
    line = next(lines[path[:length]] for length in range(len(path), -1, -1) if path[:length] in lines)
    what = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        what = "unknown key" + _suggestion(str(path[-1]), _known_keys(kind, path[:-1]))
    elif problem["type"] == "missing":
        what = "this key is required"
    return f"{name}:{line}: {_dotted(path) or 'settings'}: {what}"


def _dotted(path: _Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _known_keys(kind: type[Strict], path: _Path) -> list[str]:
    """Return the keys that settings of a kind know at `path`."""
    model: Any = kind
    named = False
    for part in path:
        if named:  # below a mapping such as `models`, the part is a name of the user's choice
            named = False
            continue
        field = model.model_fields.get(str(part)) if _is_settings(model) else None
        if field is None:
            return []
        named = get_origin(field.annotation) is dict
        model = _settings_within(field.annotation)
    return list(model.model_fields) if _is_settings(model) else []


def _is_settings(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Strict)


def _settings_within(annotation: Any) -> Any:
    if _is_settings(annotation):
        return annotation
    nested = (_settings_within(each) for each in get_args(annotation))
    return next((each for each in nested if each is not None), None)


def _suggestion(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _anchored(settings: Settings, folder: Path) -> Settings:
    """Return the settings with relative local paths made absolute from `folder`."""
    models = {
        name: model.model_copy(
            update={
                key: stream.model_copy(update={"files": _local(stream.files, folder)})
                for key, stream in (("traffic", model.traffic), ("labels", model.labels))
                if stream is not None and stream.files is not None
            }
            | {"detection": _anchored_detection(model.detection, folder)}
            | ({} if model.evaluation is None else {"evaluation": _anchored_evaluation(model.evaluation, folder)})
            | ({} if model.retrain is None else {"retrain": _anchored_retrain(model.retrain, folder)})
        )
        for name, model in settings.models.items()
    }
    spans = settings.spans.model_copy(update={"uri": _local(settings.spans.uri, folder)})
    kafka = settings.kafka and settings.kafka.model_copy(
        update={
            key: _local(path, folder)
            for key in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
            if (path := getattr(settings.kafka, key)) is not None
        }
    )
    return settings.model_copy(
        update={
            "models": models,
            "spans": spans,
            "kafka": kafka,
            "store": _store(settings.store, folder),
            "candidates": _local(settings.candidates, folder),
        }
    )


def _anchored_detection(settings: DetectionSettings, folder: Path) -> DetectionSettings:
    file = settings.custom_validations
    return settings if file is None else settings.model_copy(update={"custom_validations": _local(file, folder)})


def _anchored_evaluation(settings: EvaluationSettings, folder: Path) -> EvaluationSettings:
    return settings.model_copy(update={"eval_config": _local(settings.eval_config, folder)})


def _anchored_retrain(settings: RetrainSettings, folder: Path) -> RetrainSettings:
    trainer = settings.trainer
    key = "folder" if trainer.type == "command" else "token_file"
    path = getattr(trainer, key)
    local = {} if path is None else {key: _local(path, folder)}
    return settings.model_copy(
        update={
            "trainer": trainer.model_copy(update=local),
            "canary": settings.canary and _anchored_canary(settings.canary, folder),
        }
    )


def _anchored_canary(settings: CanarySettings, folder: Path) -> CanarySettings:
    serving = settings.tf_serving
    if serving is None:
        return settings
    keys = ("model_config_file", "grpc_ca_file", "base_path")
    local = {key: folder / path for key in keys if (path := getattr(serving, key)) is not None}
    return settings.model_copy(update={"tf_serving": serving.model_copy(update=local)})


def _local(uri: str, folder: Path) -> str:
    bare = uri.removeprefix("file:")
    if "://" in uri or bare.startswith("/"):
        return uri
    return ("file:" if uri.startswith("file:") else "") + str(folder / bare)


def _store(url: str, folder: Path) -> str:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        shown = url.rsplit("@", maxsplit=1)[-1]  # without a password
        raise ConfigError(f"store: {shown!r} is not a database address such as sqlite:///x.db") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or Path(parsed.database).is_absolute():
        return url
    return f"sqlite:///{folder / parsed.database}"
