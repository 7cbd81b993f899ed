"""Matchers: those whose patterns may take for ever are refused, others mean what Python says."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import SystemClock
from monitor.matchers import parse_matchers
from monitor.patterns import why_costly

SLOW: Final = "may take for ever to match"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        pytest.param("(a+)+$", "repeats a group", id="a repetition of a repetition"),
        pytest.param("(a|aa)*", "repeats a group", id="a repetition of a choice"),
        pytest.param("((a|b))*", "repeats a group", id="a repetition of a group that holds a choice"),
        pytest.param("(?:a{1,9}){1,9}", "repeats a group", id="counted repetitions"),
        pytest.param("(a?){30}", "repeats a group", id="many that may be there or not"),
        pytest.param("(x[)]+)+", "repeats a group", id="a bracket that closes no group"),
        pytest.param(r"(\(+)+", "repeats a group", id="a bracket that opens no group"),
        pytest.param("(?i)(a+)+", "repeats a group", id="behind a flag"),
        pytest.param(".*a.*b.*c.*", "more than 3", id="four in a row"),
        pytest.param("a?a?a?a?aaaa", "more than 3", id="four that may be there or not"),
        pytest.param("x|(.*|a)(.*.*|b)(.*)", "more than 3", id="four in the longest way through groups"),
        pytest.param(r"(a*)\1", "refers back", id="a reference to a group"),
        pytest.param("(?=a+)b", "question mark", id="a look ahead"),
        pytest.param("(?x)a # [\n(a+)+", "question mark", id="comments, which could hide all of it"),
    ],
)
def test_a_pattern_that_may_take_for_ever_is_refused(pattern: str, said: str) -> None:
    text = pattern.replace("\\", "\\\\")
    with pytest.raises(ValueError, match=SLOW) as raised:
        parse_matchers(f'alertname=~"{text}"')
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "dep_.*|distance",
        "skew|drift",
        "(flights|taxi)-v[0-9]+(-eu)?",
        "a.*|b.*|c.*|d.*|e.*",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "[]+*?(]+x",
        "(?i)(?P<name>a+)?",
        "{a}{,}",
        "(abc)+",
        ".*?x",
        r"\(a\)+",
    ],
)
def test_a_pattern_that_people_write_is_taken(pattern: str) -> None:
    re.compile(pattern)
    assert why_costly(pattern) == ""


@given(st.text(alphabet="ab.*+?|()[]{}3,\\", max_size=12))
def test_what_is_taken_ends_soon(pattern: str) -> None:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError):
        return
    if why_costly(pattern):
        return
    began = SystemClock().monotonic()
    compiled.fullmatch("a" * 60 + "!")
    assert SystemClock().monotonic() - began < 1
