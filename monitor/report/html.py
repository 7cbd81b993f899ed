"""Reports as one HTML page that needs nothing else; changes with what the page shows (its looks are in the template)."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from monitor.compare.findings import Outcome, WindowFindings
from monitor.report.digest import digest, measure_name, number
from monitor.report.distributions import Distribution


def render_check(
    findings: Sequence[WindowFindings],
    charts: Sequence[Distribution],
    *,
    reference: str,
    reference_rows: int,
    current: str,
) -> str:
    """Return the page of one comparison, with `charts` of features side by side; every value in it is escaped."""
    environment = Environment(
        loader=PackageLoader("monitor.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, measure_name=measure_name, share=_share)
    return environment.get_template("check.html.j2").render(
        reports=[(found, digest(found)) for found in findings],
        charts=charts,
        reference=reference,
        reference_rows=reference_rows,
        current=current,
        insufficient=Outcome.INSUFFICIENT,
    )


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.001 or value == 0 else "<0.1%"
