"""Reading TFMA's EvalConfig, strictly: as text proto, YAML or JSON. Changes with the ways to write one.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from monitor.errors import ConfigError, DriftlineError
from monitor.evaluate.proto_yaml import Misread, close_to, fill

_YAML_ENDINGS = {".yaml", ".yml"}
_NO_FIELD = re.compile(r'Message type "[\w.]*?(?P<kind>\w+)" has no field named "(?P<field>[^"]*)"')
_POSITION = re.compile(r"^\d+:\d+ : (?:'(?:[^']|\\')*': )?")
_RUN_KEYS = ("evalConfig", "eval_config")
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Source:
    """The text of an EvalConfig and what people call its file, for messages that say where something is wrong."""

    text: str
    name: str

    def at(self, field: str, written: str = "") -> str:
        """Return where `field` is: file, line if `written` stands (in quotes or alone) in one line only, and the field."""
        pattern = re.compile(rf"(?<![\w.-]){re.escape(written)}(?![\w.-])")
        lines = [number for number, line in enumerate(self.text.splitlines(), 1) if written and pattern.search(line)]
        line = f":{lines[0]}" if len(lines) == 1 else ""
        return f"{self.name}{line}: {field}"


def parse_eval_config(source: Source) -> Any:
    """Return the EvalConfig that a file holds, as it is written: nothing is filled in, nothing is checked but its form.

    The name's ending says which form it is in: `.yaml` or `.yml`, `.json` (also the `eval_config.json` that TFMA writes), any
    other text proto. YAML and JSON have the fields of the proto, in snake or camel case.

    Raises:
        ConfigError: it is in no such form, or has a field that an EvalConfig has not; names the file, the line and the field.
    """
    config = config_pb2.EvalConfig()
    ending = PurePath(source.name).suffix.lower()
    try:
        if ending == ".json":
            _fill_from_json(config, source)
        elif ending in _YAML_ENDINGS:
            _fill_from_yaml(config, source.text, source.name)
        else:
            _fill_from_text_proto(config, source)
    except RecursionError as error:
        raise ConfigError(f"{source.name}:1: it is nested too deeply to be an EvalConfig") from error
    except ConfigError as error:
        # What is quoted may hold line breaks of any sort.
        raise ConfigError(" ".join(str(error).splitlines())) from error
    return config


@contextmanager
def tfma_errors(where: str) -> Iterator[None]:
    """Turn what TFMA and Keras raise for a configuration that they cannot use into one line: the first of theirs.

    Raises:
        ConfigError: they raised anything.
    """
    try:
        yield
    except DriftlineError:
        raise
    except Exception as error:
        raise ConfigError(f"{where}: {_told(error)}") from error


def _told(error: Exception) -> str:
    """Return the line that says most: Keras puts the reason last, after a line that only repeats the configuration."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reasons = [
        line.removeprefix("Exception encountered: ") for line in lines if line.startswith("Exception encountered:")
    ]
    line = (reasons or lines)[0]
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _fill_from_text_proto(config: Any, source: Source) -> None:
    try:
        text_format.Parse(source.text, config)
    except text_format.ParseError as error:
        what = _POSITION.sub("", str(error))
        unknown = _NO_FIELD.search(what)
        if unknown is not None:
            known = _fields_of(unknown["kind"])
            what = f"{unknown['field']}: {unknown['kind']} has no such field{close_to(unknown['field'], known)}"
        else:
            what = f"not a text proto of an EvalConfig: {what}"
        raise ConfigError(f"{source.name}:{error.GetLine() or 1}: {what}") from error


def _fields_of(kind: str) -> list[str]:
    for message in config_pb2.DESCRIPTOR.message_types_by_name.values():
        if message.name == kind:
            return [field.name for field in message.fields]
    return []


def _fill_from_json(config: Any, source: Source) -> None:
    try:
        json.loads(source.text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise ConfigError(f"{source.name}:{line}: not valid JSON: {getattr(error, 'msg', error)}") from error
    # JSON is YAML but for tabs, which within strings are escaped anyway; and only YAML's reader tells lines.
    _fill_from_yaml(config, source.text.replace("\t", " "), source.name)


def _fill_from_yaml(config: Any, text: str, name: str) -> None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}:1: not valid YAML: {str(error).splitlines()[0]}") from error
    if root is None:
        return
    if isinstance(root, yaml.MappingNode):
        root = next((value for key, value in root.value if key.value in _RUN_KEYS), root)
    try:
        fill(config, root)
    except Misread as error:
        raise ConfigError(f"{name}:{error.line}: {error}") from error
