"""TensorFlow Serving's model config as text: what it says of one model, and the text with that changed. Pure.

Changes when that config does. Source: tensorflow_serving/config/{model_server_config,file_system_storage_path_source}.proto.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from google.protobuf.text_encoding import CEscape

from monitor.errors import InputError
from monitor.outside.tf_serving.text_proto import Field, Message, integer_of, parse, string_of

_LIST, _CONFIG = "model_config_list", "config"
_POLICY, _LABELS = "model_version_policy", "version_labels"
_OURS = (_POLICY, _LABELS)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the config says of a model.

    Attributes:
        base_path: folder of the versions, as TensorFlow Serving sees it.
        versions: which it is to serve, ascending; None where its policy is not `specific`: the latest, or all there are.
        labels: version by label.
    """

    base_path: str
    versions: tuple[int, ...] | None
    labels: Mapping[str, int]

    def serving(self, *versions: int) -> Entry:
        """Return this with just these versions, and without labels of any others."""
        labels = {label: version for label, version in self.labels.items() if version in versions}
        return replace(self, versions=tuple(sorted(set(versions))), labels=labels)

    def labelled(self, labels: Mapping[str, int | None]) -> Entry:
        """Return this with these labels besides the ones that it has; without those that stand for None."""
        every = {**self.labels, **labels}
        return replace(self, labels={label: version for label, version in every.items() if version is not None})


def entry_of(text: str, model: str) -> Entry:
    """Return what a config says of a model; raises InputError where it cannot be read, or does not name the model once."""
    return _entry(_find(text, model))


def text_of(text: str, model: str) -> str:
    """Return a model's part of a config as it is written; errors as of `entry_of`."""
    found = _find(text, model)
    return text[found.start : found.end]


def changed(text: str, model: str, change: Callable[[Entry], Entry]) -> str:
    """Return a config with versions and labels of a model changed; the same text where that changes nothing.

    All else stays as it is written, also what is not known here. Errors as of `entry_of`.
    """
    found = _find(text, model)
    before = _entry(found)
    after = change(before)
    if (after.versions, after.labels) == (before.versions, before.labels):
        return text
    kept = [
        field for field in found.fields if field.name not in _OURS or (field.name == _POLICY and not after.versions)
    ]
    return text[: found.start] + _written(text, found, kept, after) + text[found.end :]


def restored(text: str, model: str, before: str) -> str:
    """Return a config in which versions and labels of a model are as in `before`, its part as it was written once.

    Where nothing else in that part has changed since, it becomes what it was, byte by byte. Errors as of `entry_of`.
    """
    found = _find(text, model)
    now = text[found.start : found.end]
    once = parse(f"{_CONFIG} {before}").messages(_CONFIG)[0]
    offset = len(_CONFIG) + 1
    if _rest(now, found, found.start) == _rest(before, once, offset):
        return text[: found.start] + before + text[found.end :]
    ours = [before[field.start - offset : field.end - offset] for field in once.fields if field.name in _OURS]
    return text[: found.start] + _rewritten(text, found, _without_ours(found), ours) + text[found.end :]


def _find(text: str, model: str) -> Message:
    top = parse(text)
    if not top.named(_LIST):
        raise InputError(f"the model config has no `{_LIST}`")
    configs = [config for listed in top.messages(_LIST) for config in listed.messages(_CONFIG)]
    found = [config for config in configs if _string(config, "name") == model]
    if len(found) != 1:
        raise InputError(f"the model config names {model!r} {'more than once' if found else 'nowhere'}")
    return found[0]


def _entry(config: Message) -> Entry:
    labels = {}
    for label in config.messages(_LABELS):
        values = label.scalars("value")
        labels[_string(label, "key")] = integer_of(values[-1]) if values else 0
    specific = [chosen for policy in config.messages(_POLICY) for chosen in policy.messages("specific")]
    versions = [integer_of(version) for chosen in specific for version in chosen.scalars("versions")]
    return Entry(_string(config, "base_path"), tuple(sorted(set(versions))) if specific else None, labels)


def _string(message: Message, name: str) -> str:
    values = message.scalars(name)
    return string_of(values[-1]) if values else ""


def _without_ours(config: Message) -> list[Field]:
    return [field for field in config.fields if field.name not in _OURS]


def _rest(text: str, config: Message, offset: int) -> list[str]:
    """Return the fields that are not changed here, as they are written."""
    return [text[field.start - offset : field.end - offset] for field in _without_ours(config)]


def _written(text: str, config: Message, kept: list[Field], entry: Entry) -> str:
    lines = []
    if entry.versions:
        numbers = " ".join(f"versions: {version}" for version in entry.versions)
        lines.append(f"{_POLICY} {{ specific {{ {numbers} }} }}")
    for label, version in sorted(entry.labels.items()):
        key = CEscape(label, as_utf8=True)
        lines.append(f'{_LABELS} {{ key: "{key}" value: {version} }}')
    return _rewritten(text, config, kept, lines)


def _rewritten(text: str, config: Message, kept: list[Field], lines: list[str]) -> str:
    """Return a model's part without the fields that are not `kept`, and with `lines` behind the last one that is."""
    body, at = "", config.inside[0]
    for field in config.fields:
        if field not in kept:
            start, end = _taken(text, field)
            body, at = body + text[at : max(start, at)], end
    body += text[at : config.inside[1]]
    if "\n" in text[config.inside[0] : config.inside[1]]:
        first = config.fields[0].start
        indent = re.search(r"[ \t]*$", text[:first])
        return _lines(text, config, body, lines, indent[0] if indent else "")
    added = "".join(f"{line} " for line in lines)
    stem = body.rstrip()
    return f"{text[config.start]}{stem} {added}{text[config.end - 1]}"


def _lines(text: str, config: Message, body: str, lines: list[str], indent: str) -> str:
    stem = body.rstrip(" \t")
    last = body[len(stem) :]
    added = "".join(f"{indent}{line}\n" for line in lines)
    return (
        f"{text[config.start]}{stem if stem.endswith(chr(10)) else stem + chr(10)}{added}{last}{text[config.end - 1]}"
    )


def _taken(text: str, field: Field) -> tuple[int, int]:
    """Return what goes with a field: its whole line if nothing else is there."""
    alone = re.compile(r"[ \t]*\n").match(text, field.end)
    start = len(text[: field.start].rstrip(" \t"))
    return (start, alone.end()) if alone and text[start - 1] == "\n" else (field.start, field.end)
