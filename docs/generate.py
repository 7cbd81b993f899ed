"""Writes the pages that are made from the code: settings, their JSON Schema, the command line, the API. `--check` only compares.

Run by `make docs`; `make lint` fails when a page is not what this would write.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import click
from pydantic import AwareDatetime, BaseModel, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from monitor.api.application import openapi_document
from monitor.cli import command as command_line
from monitor.config.settings import Settings

DOCS = Path(__file__).parent
GENERATED = "<!-- Written by docs/generate.py from the code; change that and run `make docs`. -->"
WIDTH = 100
"""Columns of help texts: fixed, so that the page does not depend on somebody's terminal."""

UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its dotted path, what it takes, what it is without being set, and what it is for."""

    path: str
    takes: str
    default: str
    purpose: str


def duration_text(value: timedelta) -> str:
    """Return a duration as it is written in `driftline.yaml`, in the largest unit that divides it."""
    seconds = value.total_seconds()
    for unit, length in UNITS.items():
        if seconds and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:g}s"


def setting_keys(
    model: type[BaseModel], prefix: str = "", within: frozenset[type[BaseModel]] = frozenset()
) -> Iterator[Key]:
    """Yield every key of a settings model, parents before children; `NAME` stands for a name of the user's own.

    What holds itself, as an expression does, is told once.
    """
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        inner, step = _section(field.annotation)
        yield Key(path, _takes(field), _default(field), field.description or _first_line(inner))
        if inner is not None and inner not in within | {model}:
            yield from setting_keys(inner, path + step, within | {model})


def _section(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """Return the settings model inside an annotation, if any, and what stands between the two names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, "."
    step = ".NAME." if get_origin(annotation) is dict else "[]." if get_origin(annotation) is list else "."
    for argument in get_args(annotation):
        inner, _ = _section(argument)
        if inner is not None:
            return inner, step
    return None, step


def _takes(field: FieldInfo) -> str:
    return _type_text(field.annotation)


def _type_text(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type_text(get_args(annotation)[0])
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    named = {
        timedelta: "duration",
        AwareDatetime: "time",
        SecretStr: "secret",
        Path: "path",
        str: "text",
        int: "integer",
        float: "number",
        bool: "true or false",
        Any: "JSON",
    }
    if annotation in named:
        return named[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    if get_origin(annotation) is list:
        return f"list of {_type_text(arguments[0])}"
    if get_origin(annotation) is dict:
        return f"{_type_text(arguments[-1])} by name"
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return ", ".join(f"`{argument}`" for argument in arguments)
    return " or ".join(_type_text(argument) for argument in arguments) if arguments else str(annotation)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value is None or value is PydanticUndefined or value in ({}, [], ""):
        return ""
    if isinstance(value, timedelta):
        return f"`{duration_text(value)}`"
    if isinstance(value, list) and isinstance(value[0], BaseModel):
        return ""
    if isinstance(value, list) and all(isinstance(each, timedelta) for each in value):
        return f"`[{', '.join(duration_text(each) for each in value)}]`"
    return f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def _first_line(model: type[BaseModel] | None) -> str:
    return (model.__doc__ or "").strip().splitlines()[0] if model else ""


def configuration_page() -> str:
    """Return docs/configuration.md."""
    rows = "\n".join(
        f"| `{key.path}` | {key.takes} | {key.default} | {key.purpose} |".replace("  ", " ")
        for key in setting_keys(Settings)
    )
    return f"""# Settings

{GENERATED}

Driftline reads one YAML file, `driftline.yaml`. A key that is not listed here is an error that names its line;
`${{NAME}}` stands for the environment variable of that name. `driftline init DIR` writes a commented file to start from and
`driftline check-config` says what is wrong with one. Editors complete and check it with
[driftline.schema.json](driftline.schema.json).

A *duration* is a number with a unit: `500ms`, `90s`, `10m`, `1h`, `1d`, `1w`, or several, as in `1h30m`.
`NAME` stands for a name that you choose.

| key | takes | default | what it is |
|---|---|---|---|
{rows}
"""


def settings_schema() -> str:
    """Return the JSON Schema of `driftline.yaml`, with durations as they are written there, not as ISO 8601."""
    schema = Settings.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "driftline.yaml"}
    return json.dumps(_with_durations(schema), indent=2) + "\n"


def _with_durations(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_durations(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "duration":
        node = {**node, "pattern": r"^(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$"}
        del node["format"]
        if "default" in node:
            node["default"] = duration_text(TypeAdapter(timedelta).validate_python(node["default"]))
    if isinstance(node.get("default"), dict):  # a section's default repeats those of its keys
        node = {key: value for key, value in node.items() if key != "default"}
    return {key: _with_durations(value) for key, value in node.items()}


def command_page() -> str:
    """Return docs/cli.md: the help text of every command."""
    sections = "\n".join(
        _command_sections(command_line, click.Context(command_line, info_name="driftline", terminal_width=WIDTH))
    )
    return f"# Command line\n\n{GENERATED}\n\n{sections}"


def _command_sections(command: click.Command, context: click.Context) -> Iterator[str]:
    with context:
        help_text = re.sub(r"[ \t]+$", "", command.get_help(context), flags=re.MULTILINE)
        yield f"## {context.command_path}\n\n```text\n{help_text}\n```\n"
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None and not inner.hidden:
                    inner_context = click.Context(inner, info_name=name, parent=context, terminal_width=WIDTH)
                    yield from _command_sections(inner, inner_context)


def api_document() -> str:
    """Return docs/openapi.json: what the API says of itself at /openapi.json, but for the version, which changes by itself."""
    document = openapi_document()
    document["info"]["version"] = "as installed"
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def pages() -> dict[Path, str]:
    """Return every generated page by its path."""
    return {
        DOCS / "configuration.md": configuration_page(),
        DOCS / "driftline.schema.json": settings_schema(),
        DOCS / "cli.md": command_page(),
        DOCS / "openapi.json": api_document(),
    }


def main() -> int:
    """Write the pages, or say which are stale; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    check = parser.parse_args().check
    stale = {
        path: text for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    if check and stale:
        print(f"stale: {', '.join(str(path.relative_to(DOCS.parent)) for path in stale)}; run `make docs`")
        return 1
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(DOCS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
