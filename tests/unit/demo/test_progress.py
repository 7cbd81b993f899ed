from __future__ import annotations

from io import StringIO

from rich.console import Console

from monitor.clock import ManualClock
from monitor.demo.progress import board


def test_without_a_terminal_steps_are_lines_now_and_then() -> None:
    clock, text = ManualClock(), StringIO()
    with board(Console(file=text, width=200), clock) as bars:
        bar = bars.bar("Replay", 1_000)
        for done in (100, 200, 300):
            clock.advance(3)
            bar.update(done, "28,000 a second")
        bar.finish("all [sent]")
    assert text.getvalue().splitlines() == [
        "Replay ...",
        "Replay: 200 of 1,000; 28,000 a second",
        "Replay: done after 9.0 s; all [sent]",
    ]


def test_on_a_terminal_a_finished_bar_is_full() -> None:
    text = StringIO()
    with board(Console(file=text, width=160, force_terminal=True, color_system=None), ManualClock()) as bars:
        bar = bars.bar("Judge windows", 214)
        bar.update(107, "half")
        bar.finish("214 flagged")
    last = next(line for line in reversed(text.getvalue().splitlines()) if "Judge" in line)
    assert "100%" in last
    assert "214 flagged" in last
