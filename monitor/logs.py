"""How processes log: events with keys on standard error, as text for people or JSON for machines."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(*, as_json: bool) -> None:
    """Send structlog's events and the warnings of libraries to standard error."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # The scheduler warns whenever a tick takes longer than its interval, which is what coalescing is for.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    # What it reports of lost connections our own events say once, with what to do.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                # Without the values of variables: they may hold secrets.
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Logging is rare, and several commands of one process (as in tests) may each have a standard error of their own.
        cache_logger_on_first_use=False,
    )
