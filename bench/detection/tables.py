"""The tables that are printed; changes with how results are read."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from bench.detection.cases import NATURAL, NULL, RUN
from bench.detection.changes import CORRELATION, KINDS
from bench.detection.tally import Flag, Judged, Rate, marginal_detection, precision, promises, rate

_LISTED_ALARMS = 60


def show(results: Mapping[str, Sequence[Judged]]) -> None:
    """Print, for every size of windows, one line a measure and one column a detector; then what is promised."""
    names = list(results)
    groups = list(dict.fromkeys(each.group for judged in results.values() for each in judged))
    for group in groups:
        here = {name: [each for each in judged if each.group == group] for name, judged in results.items()}
        print(f"\n{group:<22}" + "".join(f"{name:>20}" for name in names))
        for kind in (NULL, NATURAL, RUN):
            _line(f"flagged: {kind}", {name: rate(judged, kind) for name, judged in here.items()}, bound=True)
        for kind in (*KINDS, CORRELATION):
            _line(f"found: {kind}", {name: rate(judged, kind) for name, judged in here.items()})
        mean = {name: marginal_detection(judged) for name, judged in here.items()}
        if not all(map(math.isnan, mean.values())):
            print(f"{'found: marginals':<22}" + "".join(f"{_share(value):>20}" for value in mean.values()))
        _line("precision", {name: precision(judged) for name, judged in here.items()})


def show_data(name: str, judged: Sequence[Judged]) -> None:
    """Print one detector's rates for every data set on its own."""
    data = list(dict.fromkeys(each.data for each in judged))
    print(f"\n{name} by data set" + " " * 20 + "".join(f"{each:>20}" for each in data))
    for group in dict.fromkeys(each.group for each in judged):
        for kind in (NULL, NATURAL, RUN, *KINDS, CORRELATION):
            here = [each for each in judged if each.group == group]
            rates = {each: rate([one for one in here if one.data == each], kind) for each in data}
            _line(f"{group:<11} {kind}", rates, width=34)


def show_promises(judged: Sequence[Judged], *, joint: bool) -> None:
    """Print Driftline's targets."""
    found = promises(judged, joint=joint)
    if not found:
        return
    print(f"\n{'target':<44} {'measured':>9} {'promised':>10}")
    for promise in found:
        sign = "<=" if promise.at_most else ">="
        said = "PASS" if promise.met else "BELOW"
        what = f"{promise.group}: {promise.what}"
        print(f"{what:<44} {promise.value:>9.3f} {sign:>5} {promise.limit:<5.2f} {said}")


def show_misses(judged: Sequence[Judged]) -> None:
    """Print what was missed and what was flagged for nothing, the most frequent first."""
    print("\nmissed: data, size, kind, column: windows, of so many; the nearest came to value / threshold")
    missed: dict[tuple[str, str, str, str], list[Judged]] = defaultdict(list)
    asked: Counter[tuple[str, str, str, str]] = Counter()
    for each in judged:
        if each.changed:
            key = (each.data, each.group, each.kind, "+".join(each.changed))
            asked[key] += 1
            if not each.hit:
                missed[key].append(each)
    for key, cases in sorted(missed.items(), key=lambda pair: (pair[0][1], pair[0][0], pair[0][2], -len(pair[1]))):
        best = max((case.best for case in cases if case.best), key=lambda flag: flag.strength, default=None)
        print(f"  {' '.join(f'{part:<12}' for part in key)} {len(cases):>4} of {asked[key]:<4} {best or ''}")
    print(
        "\nflagged without a change, or in another column: data, size, kind: windows; columns, measure, worst value / threshold"
    )
    wrong: dict[tuple[str, str, str, str, str], list[Flag]] = defaultdict(list)
    for each in judged:
        for flag in each.flags:
            if not flag.about(each.changed):
                wrong[each.data, each.group, each.kind, flag.what, flag.measure].append(flag)
    for alarm, flags in sorted(wrong.items(), key=lambda pair: -len(pair[1]))[:_LISTED_ALARMS]:
        worst = max(flags, key=lambda flag: flag.strength)
        print(f"  {' '.join(f'{part:<12}' for part in alarm[:3])} {len(flags):>4}  {worst}")
    if len(wrong) > _LISTED_ALARMS:
        print(f"  and {len(wrong) - _LISTED_ALARMS} more")


def _line(what: str, rates: Mapping[str, Rate], *, bound: bool = False, width: int = 22) -> None:
    """Print one line, unless nobody has anything to say."""
    if not any(each.of for each in rates.values()):
        return
    cells = [_cell(each, bound=bound) for each in rates.values()]
    print(f"{what:<{width}}" + "".join(f"{cell:>20}" for cell in cells))


def _cell(found: Rate, *, bound: bool) -> str:
    if not found.of:
        return "-"
    most = f" <{_share(found.upper)}" if bound else ""
    return f"{_share(found.value)}{most} ({found.of})"


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
