"""Coverage-guided fuzzing of every decoder, run by hand: any bytes are rows or dead letters, and nothing is raised.

Usage: pip install atheris; python -m tests.fuzz.fuzz_decoders [a folder for the corpus] [-max_total_time=60]
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["collectors.wire"]):
    from collectors.source import ABSORBED, Half
    from collectors.wire.answers import Choice
    from collectors.wire.json_records import JsonDecoder
    from collectors.wire.requests import Roles
    from tests.unit.collectors.wire.logs import ENVELOPE, NOW, READERS, block, decode

_FORMS = [*sorted(READERS), "json"]
_CHOICES = [Choice(), Choice("p"), Choice(of=1), Choice(of="argmax")]


def one_input(data: bytes) -> None:
    """Decode what follows the first byte as that byte says."""
    if not data:
        return
    form, choice = _FORMS[data[0] % len(_FORMS)], _CHOICES[data[0] // 16 % len(_CHOICES)]
    value = data[1:]
    if form == "json":
        decoded = JsonDecoder(ENVELOPE, columnar_from=1).decode([value, value], NOW)
    else:
        decoded = decode(form, block(value, value, counterparts=[Half(value), ABSORBED]), choice, Roles("id", "at"))
    if decoded.decoded + len(decoded.dead) != 2:
        raise AssertionError(f"{form}: {decoded.decoded} read and {len(decoded.dead)} dead of 2")
    for table in decoded.parts.values():
        table.validate(full=True)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
