"""Protobuf messages from YAML, field by field, with the line of what is wrong; changes with how a proto is written in YAML.

A wrapped number (google.protobuf.DoubleValue) may be written `0.7` or, as in a text proto, `{value: 0.7}`; a text may be any
scalar, as it stands there; and text that is JSON (the `config` of a metric) may be a mapping.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from typing import Any

import yaml

_WRAPPERS = "google.protobuf."
_JSON_FIELDS = {"config"}
_TRUTHS = {"true": True, "false": False}


class Misread(Exception):
    """Something cannot be read; the message names the field."""

    def __init__(self, node: yaml.Node, field: str, what: str) -> None:
        """Note the line of `node`, counted from 1."""
        super().__init__(f"{field or 'the file'}: {what}")
        self.line = node.start_mark.line + 1


def close_to(name: str, known: Sequence[str]) -> str:
    """Return a suggestion of what may have been meant, or what is known."""
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    if close:
        return f"; did you mean {by_lower[close[0]]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""


def fill(message: Any, node: yaml.Node, path: str = "") -> None:
    """Set the fields of `message` that `node`, a mapping, has; `path` is where it is within the file.

    Raises:
        Misread: a field is unknown, twice there, or of another type.
    """
    if not isinstance(node, yaml.MappingNode):
        raise Misread(node, path, "a mapping of fields is wanted here")
    seen: set[str] = set()
    for key_node, value in node.value:
        field = _field(message.DESCRIPTOR, str(key_node.value))
        inner = f"{path}.{key_node.value}".removeprefix(".")
        if field is None:
            known = [each.name for each in message.DESCRIPTOR.fields]
            what = f"{message.DESCRIPTOR.name} has no such field{close_to(str(key_node.value), known)}"
            raise Misread(key_node, inner, what)
        if field.name in seen:
            raise Misread(key_node, inner, "this field is given twice")
        seen.add(field.name)
        if not _is_null(value):
            _set(message, field, value, inner)


def _field(descriptor: Any, name: str) -> Any:
    return descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _set(message: Any, field: Any, node: yaml.Node, path: str) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _set_entries(getattr(message, field.name), field.message_type.fields_by_name["value"], node, path)
    elif _repeated(field):
        if not isinstance(node, yaml.SequenceNode):
            raise Misread(node, path, "a list is wanted here")
        target = getattr(message, field.name)
        for place, each in enumerate(node.value):
            inner = f"{path}[{place}]"
            if field.message_type is None:
                target.append(_scalar(field, each, inner))
            else:
                fill(target.add(), each, inner)
    elif field.message_type is None:
        setattr(message, field.name, _scalar(field, node, path))
    else:
        target = getattr(message, field.name)
        target.SetInParent()
        _fill_one(target, node, path)


def _repeated(field: Any) -> bool:
    # Newer protobuf has a name for it, and warns of the label that older ones have.
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == field.LABEL_REPEATED)


def _fill_one(target: Any, node: yaml.Node, path: str) -> None:
    wrapped = target.DESCRIPTOR.full_name.startswith(_WRAPPERS)
    if wrapped and isinstance(node, yaml.ScalarNode):
        target.value = _scalar(target.DESCRIPTOR.fields_by_name["value"], node, path)
    else:
        fill(target, node, path)


def _set_entries(entries: Any, field: Any, node: yaml.Node, path: str) -> None:
    if not isinstance(node, yaml.MappingNode):
        raise Misread(node, path, "a mapping is wanted here")
    numbered = field.containing_type.fields_by_name["key"]
    for key_node, value in node.value:
        inner = f"{path}.{key_node.value}"
        key = _scalar(numbered, key_node, inner)
        if key in entries:
            raise Misread(key_node, inner, "this key is given twice")
        if field.message_type is None:
            entries[key] = _scalar(field, value, inner)
        else:
            entries[key].SetInParent()
            _fill_one(entries[key], value, inner)


def _scalar(field: Any, node: yaml.Node, path: str) -> Any:
    if field.cpp_type == field.CPPTYPE_STRING and field.name in _JSON_FIELDS and isinstance(node, yaml.MappingNode):
        return json.dumps(yaml.SafeLoader("").construct_object(node, deep=True))
    if not isinstance(node, yaml.ScalarNode):
        raise Misread(node, path, "one value is wanted here")
    try:
        return _readers(field)(str(node.value))
    except (KeyError, ValueError, OverflowError):
        raise Misread(node, path, f"{node.value!r} is not {_wanted(field)}") from None


def _readers(field: Any) -> Callable[[str], Any]:
    if field.enum_type is not None:
        return lambda text: int(text) if text.isdigit() else field.enum_type.values_by_name[text].number
    if field.cpp_type == field.CPPTYPE_STRING:
        return str
    if field.cpp_type == field.CPPTYPE_BOOL:
        return lambda text: _TRUTHS[text.lower()]
    return float if field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT) else _int32


def _int32(text: str) -> int:
    number = int(text)
    if not -(2**31) <= number < 2**31:
        raise OverflowError
    return number


def _wanted(field: Any) -> str:
    if field.enum_type is not None:
        return "one of " + ", ".join(value.name for value in field.enum_type.values)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return "true or false"
    return "a number" if field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT) else "a whole number"
