"""Conversions between units that are known by name; changes when one is missing.

Factors are exact by definition (international yard and pound agreement of 1959, ITS-90 for temperatures, US gallon of 231 cubic
inches), or rounded to seven digits.
"""

from __future__ import annotations

from dataclasses import dataclass

_CLOSE = 0.0025
"""People convert with 1.61 as well as with 1.609344."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Two units: a value in `small` is `factor` times the value in `large`, plus `offset`."""

    large: str
    small: str
    factor: float
    offset: float = 0.0


UNITS = (
    Unit("miles", "kilometres", 1.609344),
    Unit("nautical miles", "kilometres", 1.852),
    Unit("knots", "miles per hour", 1.150779),
    Unit("metres", "feet", 3.280840),
    Unit("metres", "yards", 1.093613),
    Unit("inches", "centimetres", 2.54),
    Unit("kilograms", "pounds", 2.204623),
    Unit("ounces", "grams", 28.349523),
    Unit("gallons", "litres", 3.785412),
    Unit("metres per second", "kilometres per hour", 3.6),
    Unit("metres per second", "miles per hour", 2.236936),
    Unit("radians", "degrees", 57.295780),
    Unit("degrees Celsius", "degrees Fahrenheit", 1.8, 32.0),
    Unit("degrees Celsius", "kelvins", 1.0, 273.15),
    Unit("weeks", "days", 7.0),
    Unit("feet", "inches", 12.0),
    Unit("days", "hours", 24.0),
    Unit("hours or minutes", "minutes or seconds", 60.0),
    Unit("units or shares", "cents or percent", 100.0),
    Unit("seconds, kilo- or whole units", "milliseconds, whole or milli-units", 1000.0),
    Unit("kibi- or mebibytes", "bytes or kibibytes", 1024.0),
    Unit("hours", "seconds", 3600.0),
    Unit("days", "minutes", 1440.0),
    Unit("days", "seconds", 86_400.0),
    Unit("hours", "milliseconds", 3_600_000.0),
    Unit("seconds, mega- or whole units", "microseconds, whole or micro-units", 1_000_000.0),
    Unit("seconds or giga-units", "nanoseconds or whole units", 1_000_000_000.0),
)


def unit_of(factor: float, offset: float = 0.0) -> tuple[str, str, float, float] | None:
    """Return (from, to, exact factor, exact offset) of the conversion close to x * factor + offset, or None."""
    candidates = []
    for unit in UNITS:
        candidates.append((unit.large, unit.small, unit.factor, unit.offset))
        candidates.append((unit.small, unit.large, 1 / unit.factor, 0.0 - unit.offset / unit.factor))
    near = [each for each in candidates if _near(factor, each[2]) and _near(offset, each[3])]
    return min(near, key=lambda each: abs(each[2] - factor) / each[2], default=None)


def _near(value: float, known: float) -> bool:
    return abs(value - known) <= _CLOSE * abs(known)
