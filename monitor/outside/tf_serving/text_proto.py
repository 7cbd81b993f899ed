"""Text protos as trees that know where in the text each part stands; changes with the grammar of text protos.

A text that is parsed into messages and printed again has lost its comments, its order and every field that the messages do not
know. A tree with places lets one part of a text be changed and leaves all others as they are.

Source: https://protobuf.dev/reference/protobuf/textformat-spec/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

from google.protobuf import text_encoding

from monitor.errors import InputError

_TOKEN = re.compile(
    r"""(?P<blank>(?:\s|\#[^\n]*)+)|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>\.?\d[\d.]*[eE][-+]?\d+[fF]?|[\w.+]+|-)|(?P<sign>[][{}<>:,;/])"""
)
_CLOSING = {"{": "}", "<": ">"}
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value that is no message; `tokens` are as they are written, quotes included."""

    start: int
    end: int
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """Fields between brackets; `start` and `end` are around the brackets, `inside` is between them."""

    start: int
    end: int
    inside: tuple[int, int]
    fields: tuple[Field, ...]

    def named(self, name: str) -> list[Field]:
        """Return the fields of a name, in order."""
        return [field for field in self.fields if field.name == name]

    def messages(self, name: str) -> list[Message]:
        """Return the messages in the fields of a name, in order."""
        return [value for field in self.named(name) for value in field.values if isinstance(value, Message)]

    def scalars(self, name: str) -> list[Scalar]:
        """Return the other values in the fields of a name, in order."""
        return [value for field in self.named(name) for value in field.values if isinstance(value, Scalar)]


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it is written once: one value, or several in a list; extensions keep their brackets in `name`.

    `end` is behind the separator, where there is one.
    """

    name: str
    start: int
    end: int
    values: tuple[Scalar | Message, ...]


def parse(text: str) -> Message:
    """Return a text as a message without brackets of its own.

    Raises:
        InputError: it is no text proto; names line and column.
    """
    reader = _Reader(text)
    fields = reader.fields("", 0)
    return Message(0, len(text), (0, len(text)), fields)


def string_of(scalar: Scalar) -> str:
    """Return what a string field says; raises InputError where it is none."""
    if not all(token[0] in "\"'" for token in scalar.tokens):
        raise InputError(f"{' '.join(scalar.tokens)} is no string")
    try:
        return b"".join(text_encoding.CUnescape(token[1:-1]) for token in scalar.tokens).decode()
    except ValueError as error:
        raise InputError("a string cannot be read") from error


def integer_of(scalar: Scalar) -> int:
    """Return what an integer field says, decimal, octal or hexadecimal; raises InputError where it is none."""
    text = "".join(scalar.tokens)
    octal = re.fullmatch(r"-?0[0-7]+", text)
    try:
        return int(text, 8) if octal else int(text, 0)
    except ValueError as error:
        raise InputError(f"{text} is no whole number") from error


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._at = 0

    def fields(self, closing: str, depth: int) -> tuple[Field, ...]:
        """Read fields up to `closing`, which is left; empty for the end of the text."""
        if depth > _MAX_DEPTH:
            self._fail("messages are nested too deeply")
        found = []
        while self._peek().text != closing:
            field = self._field(depth)
            if self._peek().text in (",", ";"):
                field = replace(field, end=self._next().end)
            found.append(field)
        return tuple(found)

    def _field(self, depth: int) -> Field:
        start = self._peek().start
        name = self._name()
        colon = self._peek().text == ":"
        self._at += colon
        opening = self._peek().text
        if opening == "[":
            values = self._list(depth)
        elif opening in _CLOSING:
            values = (self._message(depth),)
        else:
            if not colon:
                self._fail("there is no `:`")
            values = (self._scalar(),)
        return Field(name, start, self._tokens[self._at - 1].end, values)

    def _name(self) -> str:
        token = self._next()
        if token.kind == "word":
            return token.text
        if token.text != "[":
            self._at -= 1
            self._fail("there is no name of a field")
        parts = []
        while self._peek().text != "]":
            if not (self._peek().kind == "word" or self._peek().text == "/"):
                self._fail("the name of an extension does not end")
            parts.append(self._next().text)
        self._at += 1
        return f"[{''.join(parts)}]"

    def _list(self, depth: int) -> tuple[Scalar | Message, ...]:
        self._at += 1
        values: list[Scalar | Message] = []
        while self._peek().text != "]":
            if values:
                self._expect(",")
            values.append(self._message(depth) if self._peek().text in _CLOSING else self._scalar())
        self._at += 1
        return tuple(values)

    def _message(self, depth: int) -> Message:
        opening = self._next()
        fields = self.fields(_CLOSING[opening.text], depth + 1)
        closing = self._next()
        return Message(opening.start, closing.end, (opening.end, closing.start), fields)

    def _scalar(self) -> Scalar:
        first = self._next()
        tokens = [first]
        if first.text == "-":
            tokens.append(self._next())
        if tokens[-1].kind not in ("word", "text"):
            self._at -= 1
            self._fail("there is no value")
        while tokens[-1].kind == "text" and self._peek().kind == "text":
            tokens.append(self._next())
        return Scalar(first.start, tokens[-1].end, tuple(token.text for token in tokens))

    def _expect(self, text: str) -> None:
        if self._peek().text != text:
            self._fail(f"there is no `{text}`")
        self._at += 1

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._peek()
        if token.kind == "end":
            self._fail("it ends too early")
        self._at += 1
        return token

    def _split(self) -> Iterator[_Token]:
        at = 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None:
                raise InputError(f"no text proto: {self._text[at]!r} means nothing, {_place(self._text, at)}")
            if found.lastgroup != "blank":
                yield _Token(str(found.lastgroup), found[0], at, found.end())
            at = found.end()
        yield _Token("end", "", at, at)

    def _fail(self, what: str) -> NoReturn:
        raise InputError(f"no text proto: {what}, {_place(self._text, self._peek().start)}")


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - text.rfind(chr(10), 0, at)}"
