"""Categories that are written in another way, or cut off; changes with the ways in which a category can be rewritten."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from monitor.compare.breaks.causes import Break, Cause, broken
from monitor.compare.breaks.columns import Words
from monitor.compare.breaks.evidence import Evidence, kolmogorov_noise, variation_noise
from monitor.compare.explain import text
from monitor.profile.document import Floats

_NEW = 0.95
"""Share of the window's values that must be new for the categories to have been rewritten."""
_KNOWN_AGAIN = 0.75
"""Share of the window's values that the rewriting must make of known ones; a window brings new ones of its own too."""
_UNKNOWN = 0.1
"""Share of the values that a window of a column of very many may have to itself."""
_UNEVEN = 0.15
"""How far frequencies must be from even ones to be recognised by themselves."""
_NUMERAL = re.compile(r"-?\d{1,15}")

Rewriting = Callable[[str], str]


def find_rewriting(feature: str, now: Words, before: Words) -> Break | None:
    """Return the break where all categories are new, but are the known ones written in another way, or as frequent as they.

    Truncation is such a rewriting; it may leave short categories as they are.
    """
    if not now.shares or before.unique < 2:
        return None
    return _truncated(feature, now, before) or _rewritten(feature, now, before) or _renamed(feature, now, before)


def distance(now: Mapping[str, float], before: Mapping[str, float]) -> float:
    """Return the total variation distance of two distributions over categories."""
    return 0.5 * sum(abs(now.get(value, 0.0) - before.get(value, 0.0)) for value in {*now, *before})


def evidence(now: Words, before: Words, expected: Mapping[str, float]) -> Evidence:
    """Return how far the window is from the baseline as it is, and from what a break would make of it."""
    noise = variation_noise(np.fromiter(expected.values(), float), now.rows, before.rows)
    return Evidence(distance(now.shares, before.shares), distance(now.shares, expected), noise)


def membership(now: Words, known: Collection[bytes]) -> Evidence:
    """Return the same from which values are known, for columns with too many of them to compare their frequencies by."""
    strange = sum(share for value, share in now.shares.items() if value.encode() not in known)
    return Evidence(now.unseen, strange, _UNKNOWN)


def _truncated(feature: str, now: Words, before: Words) -> Break | None:
    length = max(len(value) for value in now.shares)
    cut = sum(share for value, share in before.shares.items() if len(value) > length)
    if length == 0 or cut < 1.0 - _NEW:
        return None
    if before.listed:
        found = evidence(now, before, _applied(before.shares, lambda value: value[:length]))
    else:
        found = membership(now, {value.decode(errors="replace")[:length].encode() for value in before.known})
    if not found.convincing:
        return None
    longest = max((value for value in before.shares if len(value) > length), key=lambda value: before.shares[value])
    ending = "character" if length == 1 else "characters"
    said = f"values look cut off after {length} {ending} ({text(longest.encode())} became {text(longest[:length].encode())})"
    return broken(feature, Cause.TRUNCATED, f"after {length} {ending}", 1.0 - found.after, said)


def _rewritten(feature: str, now: Words, before: Words) -> Break | None:
    if now.unseen < _NEW:
        return None
    known = [value.decode() for value in before.known if _is_text(value)]
    for name, rewrite in _rewritings(now, known):
        images = {rewrite(value) for value in known}
        share = sum(amount for value, amount in now.shares.items() if value in images)
        if share < _KNOWN_AGAIN * sum(now.shares.values()):
            continue
        expected = _applied(before.shares, rewrite)
        # Numbers one higher are known by chance where numbers stand close, so there the frequencies must fit too.
        if name.startswith("numbers") and not evidence(now, before, expected).convincing:
            continue
        example = max(before.shares, key=lambda value: (now.shares.get(rewrite(value), 0.0), value))
        said = (
            f"every value is written in another way ({text(example.encode())} became {text(rewrite(example).encode())})"
        )
        return broken(feature, Cause.RECODED, name, share, said)
    return None


def _renamed(feature: str, now: Words, before: Words) -> Break | None:
    """Return the break where none of the values is known, but the ranked frequencies are those of the baseline."""
    ours, theirs = _ranked(now), _ranked(before)
    if now.unseen < _NEW or not (now.listed and before.listed) or len(theirs) < 3:
        return None
    noise = variation_noise(theirs, now.rows, before.rows)
    size = max(len(ours), len(theirs))
    sums = [np.cumsum(np.pad(each, (0, size - len(each)))) for each in (ours, theirs)]
    even = np.minimum(1.0, np.arange(1, size + 1) / len(theirs))
    gap = float(np.abs(sums[0] - sums[1]).max())
    rows = kolmogorov_noise(now.rows, before.rows)
    expected = int((theirs * now.rows >= 5.0).sum())
    informative = float(np.abs(sums[1] - even).max()) >= max(_UNEVEN, 2.0 * noise)
    if not informative or gap > rows or not expected <= len(ours) <= len(theirs) * 1.1:
        return None
    said = "no value is known from training, but the new ones are as frequent as the known ones were (other codes)"
    return broken(feature, Cause.RECODED, "other codes, same frequencies", 1.0 - gap, said)


def _rewritings(now: Words, known: Collection[str]) -> Iterator[tuple[str, Rewriting]]:
    yield "lower case", str.lower
    yield "upper case", str.upper
    yield "capitals at the start", str.title
    yield "one capital at the start", str.capitalize
    yield "without space around", str.strip
    yield "without spaces", lambda value: value.replace(" ", "")
    yield "underscores for spaces", lambda value: value.replace(" ", "_")
    yield "numbers as decimals", lambda value: f"{value}.0"
    yield "decimals as whole numbers", lambda value: value.removesuffix(".0")
    yield "without leading zeros", lambda value: value.lstrip("0") or "0"
    width = max(len(value) for value in now.shares)
    yield f"with leading zeros to {width} digits", lambda value: value.zfill(width)
    yield "numbers one higher", lambda value: _plus(value, 1)
    yield "numbers one lower", lambda value: _plus(value, -1)
    yield from _framed(now, known)


def _framed(now: Words, known: Collection[str]) -> Iterator[tuple[str, Rewriting]]:
    """Yield what was put around every value, or taken off, as the most frequent value of the window shows it."""
    value = max(now.shares, key=lambda each: (now.shares[each], each))
    inner = max((each for each in known if each and each in value), key=lambda each: (len(each), each), default=None)
    outer = min((each for each in known if value and value in each), key=lambda each: (len(each), each), default=None)
    if inner is not None:
        start, _, end = value.partition(inner)
        yield f"{start}value{end}", lambda each: f"{start}{each}{end}"
    if outer is not None:
        before, _, after = outer.partition(value)
        yield f"without {before!r} and {after!r} around", lambda each: each.removeprefix(before).removesuffix(after)


def _plus(value: str, by: int) -> str:
    return str(int(value) + by) if _NUMERAL.fullmatch(value) else value


def _applied(shares: Mapping[str, float], rewrite: Rewriting) -> Mapping[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for value, share in shares.items():
        sums[rewrite(value)] += share
    return sums


def _ranked(words: Words) -> Floats:
    return np.sort(np.fromiter(words.shares.values(), float))[::-1]


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
