"""Reports as one HTML page that needs nothing else; changes with what the page shows (its looks are in the template)."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from monitor.compare.findings import Outcome, Verdict, WindowFindings
from monitor.report.digest import digest, measure_name, number, slice_text
from monitor.report.distributions import Distribution


def render_check(
    findings: Sequence[WindowFindings],
    charts: Sequence[Distribution],
    *,
    reference: str,
    reference_rows: int,
    current: str,
) -> str:
    """Return the page of one comparison, with `charts` of features side by side; every value in it is escaped.

    Of the slices those that are flagged are shown.
    """
    environment = Environment(
        loader=PackageLoader("monitor.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, measure_name=measure_name, share=_share, slice_text=slice_text)
    overall, *slices = findings
    flagged = [found for found in slices if found.verdict is Verdict.FLAGGED]
    return environment.get_template("check.html.j2").render(
        reports=[(found, digest(found)) for found in (overall, *flagged)],
        slices=len(slices),
        charts=charts,
        reference=reference,
        reference_rows=reference_rows,
        current=current,
        insufficient=Outcome.INSUFFICIENT,
    )


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.001 or value == 0 else "<0.1%"
