"""The units that numbers are taken for another of; changes when a pair is added. Factors from NIST SP 811, appendix B.

Pairs closer than 1.5 (yards and metres, knots and miles per hour) are left out: drift moves numbers by as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from monitor.profile.document import Floats


@dataclass(frozen=True, slots=True)
class Unit:
    """The change from one unit to another: x becomes factor * x + offset.

    Attributes:
        exact: the factor is exact in decimal or as a ratio of whole numbers, so that nobody rounds it.
        change: what became what; None for a factor that no pair of units is known for.
    """

    factor: float
    offset: float = 0.0
    exact: bool = False
    change: str | None = None

    def __call__(self, values: Floats) -> Floats:
        """Return the values in the new unit."""
        changed: Floats = self.factor * values + self.offset
        return changed

    @property
    def written(self) -> tuple[Unit, ...]:
        """This unit with its factor as people write it: in full, or in three to five digits."""
        if self.exact or self.change is None:
            return (self,)
        factors = dict.fromkeys([self.factor, *(float(f"{self.factor:.{digits}g}") for digits in (5, 4, 3))])
        return tuple(replace(self, factor=factor) for factor in factors)

    @property
    def detail(self) -> str:
        """The parameter of the break."""
        if self.change is None:
            return f"times about {self.factor:.2g}"
        sign = "minus" if self.offset < 0.0 else "plus"
        offset = f" {sign} {abs(self.offset):.6g}" if self.offset else ""
        said = f"times {self.factor:.4g}{offset}" if self.factor != 1.0 else offset.strip()
        return f"{said}: {self.change.replace(' became ', ' to ')}"

    @property
    def said(self) -> str:
        """What every value looks like."""
        if self.change is None:
            return f"multiplied by about {self.factor:.2g}, as by another unit"
        parts = [f"multiplied by {self.factor:.4g}"] if self.factor != 1.0 else []
        if self.offset:
            parts.append(f"{'raised' if self.offset > 0.0 else 'lowered'} by {abs(self.offset):.6g}")
        return f"{' and '.join(parts)} ({self.change})"


_FACTORS: tuple[tuple[float, bool, str, str], ...] = (
    (1.609344, False, "miles", "kilometres"),
    (1.852, False, "nautical miles", "kilometres"),
    (2.2046226, False, "kilograms", "pounds"),
    (2.2369363, False, "metres per second", "miles per hour"),
    (2.54, False, "inches", "centimetres"),
    (3.2808399, False, "metres", "feet"),
    (3.6, True, "metres per second", "kilometres per hour"),
    (3.7854118, False, "gallons", "litres"),
    (7.0, True, "weeks", "days"),
    (10.0, True, "centimetres", "millimetres"),
    (12.0, True, "feet", "inches"),
    (24.0, True, "days", "hours"),
    (25.4, False, "inches", "millimetres"),
    (28.349523, False, "ounces", "grams"),
    (30.48, False, "feet", "centimetres"),
    (33.863886, False, "inches of mercury", "hectopascals"),
    (57.295780, False, "radians", "degrees"),
    (60.0, True, "minutes", "seconds"),
    (100.0, True, "whole units", "hundredths"),
    (365.25, False, "years", "days"),
    (453.59237, False, "pounds", "grams"),
    (1_000.0, True, "whole units", "thousandths"),
    (1_024.0, True, "kibibytes", "bytes"),
    (1_440.0, True, "days", "minutes"),
    (1_609.344, False, "miles", "metres"),
    (3_600.0, True, "hours", "seconds"),
    (10_000.0, True, "fractions", "basis points"),
    (86_400.0, True, "days", "seconds"),
    (1_000_000.0, True, "whole units", "millionths"),
    (1_048_576.0, True, "mebibytes", "bytes"),
    (1_000_000_000.0, True, "whole units", "billionths"),
)
_SCALES = ((1.0, 0.0, "Celsius"), (1.8, 32.0, "Fahrenheit"), (1.0, 273.15, "Kelvin"))
"""Temperature scales as (factor, offset) from degrees Celsius."""


def known_units() -> Iterator[Unit]:
    """Yield every known change, both ways."""
    for factor, exact, small, large in _FACTORS:
        yield Unit(factor, exact=exact, change=f"{small} became {large}")
        yield Unit(1.0 / factor, exact=exact, change=f"{large} became {small}")
    for factor, offset, one in _SCALES:
        for other_factor, other_offset, other in _SCALES:
            if one != other:
                ratio = other_factor / factor
                yield Unit(ratio, other_offset - ratio * offset, exact=True, change=f"{one} became {other}")


KNOWN: tuple[Unit, ...] = tuple(known_units())


def free_units(now: Floats, before: Floats, least: float) -> Iterator[Unit]:
    """Yield the factors that take a decile of the baseline to the window's, where they are at least `least` or 1 / `least`."""
    usable = (before != 0.0) & (now != 0.0)
    ratios = now[usable] / before[usable]
    for factor in np.unique(ratios[(ratios >= least) | ((ratios > 0.0) & (ratios <= 1.0 / least))]):
        yield Unit(float(factor))
