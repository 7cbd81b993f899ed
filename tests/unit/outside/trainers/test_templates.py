"""Bodies from templates: what is put in stays a value, whatever it looks like."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.errors import InputError
from monitor.outside.trainers.templates import filled

BODY = {
    "id": "{{ retrain_id }}",
    "text": "drift of {{ why.findings[0].feature }} in {{ model }}",
    "feature": "{{ why.findings[0].feature }}",
    "findings": "{{ why.findings }}",
    "first": "{{ data.spans | map(attribute='uri') | first }}",
    "fixed": [1, None, True, 0.5, "plain"],
    "nested": {"{{ key }}": "{{ baseline.number }}"},
}
REQUEST: dict[str, Any] = {
    "retrain_id": "a1",
    "model": "flights",
    "why": {"findings": [{"feature": "distance", "value": 0.25}]},
    "data": {"spans": [{"uri": "file:///a"}]},
    "baseline": {"number": 3},
}


def of_feature(name: str) -> dict[str, Any]:
    request = copy.deepcopy(REQUEST)
    request["why"]["findings"][0]["feature"] = name
    return filled(BODY, request)


def test_texts_are_filled_and_single_expressions_keep_their_type() -> None:
    assert filled(BODY, REQUEST) == {
        "id": "a1",
        "text": "drift of distance in flights",
        "feature": "distance",
        "findings": [{"feature": "distance", "value": 0.25}],
        "first": "file:///a",
        "fixed": [1, None, True, 0.5, "plain"],
        "nested": {"{{ key }}": 3},
    }


@given(st.text())
@example('", "admin": true, "x": "')
@example("{{ 7 * 7 }}")
@example("{% for x in range(9) %}x{% endfor %}")
@example("['a', 'b']")
@example("{'a': 1}")
@example("3")
@example("None")
@example("\\u0022}")
@example("\ud800".encode("utf-8", "replace").decode())
def test_a_feature_of_any_name_changes_no_structure(name: str) -> None:
    found = of_feature(name)
    assert found["feature"] == name
    assert found["findings"] == [{"feature": name, "value": 0.25}]
    assert found["text"] == f"drift of {name} in flights"
    assert list(found) == list(BODY)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ why.nothing.at_all }}", "UndefinedError"),
        ("{{ why.nothing }}", "TypeError"),
        ("{{ why.__class__ }}", "SecurityError|TypeError"),
        ("{{ ().__class__.__bases__[0].__subclasses__() }}", "SecurityError"),
        ("{{ data.update({'a': 1}) }}", "SecurityError"),
        ("{{ data.spans.append(1) }}", "SecurityError"),
        ("{{ 'x' * 1000000000 }}", "SecurityError"),
        ("{{ 9 ** 9 ** 9 }}", "SecurityError"),
        ("{{ range(1000000000) | list }}", "OverflowError"),
        ("{{ range }}", "TypeError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 1e308 * 10 }}", "ValueError"),
    ],
)
def test_a_template_that_reaches_too_far_is_refused(template: str, why: str) -> None:
    request = copy.deepcopy(REQUEST)
    with pytest.raises(InputError, match=f"cannot be filled: ({why})"):
        filled({"a": template}, request)
    assert request == REQUEST


def test_two_expressions_are_a_text_also_where_they_look_like_one() -> None:
    assert filled({"a": "{{ model }}{{ baseline.number }}", "b": " {{- baseline.number -}} "}, REQUEST) == {
        "a": "flights3",
        "b": 3,
    }


def test_a_body_that_grows_too_long_is_refused() -> None:
    with pytest.raises(InputError, match="longer than"):
        filled({"a": "{% for x in range(60000) %}{{ model }}{{ why }}{{ data }}{% endfor %}"}, REQUEST)
