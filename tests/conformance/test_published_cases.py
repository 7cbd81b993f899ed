"""The tests of validation that TFDV's wheel ships, read from the wheel and asked of Driftline too; see docs/conformance.md."""

from __future__ import annotations

import importlib
import unittest
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from monitor.compare.validations.judging import rule_findings
from monitor.profile import tfdv
from monitor.profile.schema import serving_environment
from monitor.profile.validations import State, custom_validations
from tests.conformance.answers import MEASURES, Answer, Broken, Question, answer_of_driftline, answer_of_tfdv

_ARGUMENTS = {
    "statistics": "statistics",
    "schema": "schema",
    "environment": "environment",
    "previous_span_statistics": "previous",
    "baseline_statistics": "previous",
    "serving_statistics": "serving",
    "validation_options": "options",
    "custom_validation_config": "rules",
    "validations": "rules",
}
"""Those of TFDV's functions, as `Question` calls them; the rest does not change an answer."""
_STAYS_AN_ERROR = {"SCHEMA_MISSING_COLUMN", "UNEXPECTED_DATA_TYPE"}


@dataclass(frozen=True, slots=True)
class Case:
    """What one of TFDV's test methods asks, with TFDV's answer; `name` is the method's, and the question's place in it."""

    name: str
    question: Question
    answer: Any


@dataclass(frozen=True, slots=True)
class Published:
    """TFDV's cases, and its methods whose own assertions do not hold, with the reason."""

    cases: list[Case]
    failed: list[str]

    @property
    def validations(self) -> list[Case]:
        """Those that hold statistics against a schema in a way that is open to Driftline: TFDV's options are not."""
        return [case for case in self.cases if case.question.schema is not None and case.question.options is None]

    @property
    def windows(self) -> list[Case]:
        """Those among them that Driftline would ask: its windows are traffic, and belong to SERVING where there is that."""
        return [case for case in self.validations if case.question.environment == _environment(case.question)]


@pytest.fixture(scope="module")
def published() -> Published:
    theirs = importlib.import_module("tensorflow_data_validation.api.validation_api_test")
    found = Published([], [])
    for suite in (theirs.ValidationApiTest, theirs.NLValidationTest, theirs.ValidateCorrespondingSlicesTest):
        for method in unittest.defaultTestLoader.getTestCaseNames(suite):
            _run(suite(method), method, theirs.validation_api, found)
    return found


def _run(test: unittest.TestCase, method: str, api: Any, found: Published) -> None:
    """Run a test method of TFDV's and keep what it asks; one that asks nothing, or is refused an answer, is no case."""
    asked: list[tuple[Question, Any]] = []
    functions = [name for name in ("validate_statistics_internal", "custom_validate_statistics") if hasattr(api, name)]
    result = unittest.TestResult()
    with pytest.MonkeyPatch.context() as patched:
        for name in functions:
            patched.setattr(api, name, _recording(getattr(api, name), asked))
        test.run(result)
    found.cases.extend(Case(f"{method} {place}", *each) for place, each in enumerate(asked))
    if asked:
        found.failed.extend(f"{method}: {said}" for _, said in (*result.errors, *result.failures))


def _recording(function: Callable[..., Any], asked: list[tuple[Question, Any]]) -> Callable[..., Any]:
    def recorded(*positional: Any, **named: Any) -> Any:
        # The tests change what they gave, and what they got, afterwards.
        given = deepcopy(signature(function).bind(*positional, **named).arguments)
        answer = function(*positional, **named)
        question = Question(**{_ARGUMENTS[name]: value for name, value in given.items() if name in _ARGUMENTS})
        asked.append((question, deepcopy(answer)))
        return answer

    return recorded


def _environment(question: Question) -> str | None:
    return serving_environment(question.schema.SerializeToString())


def _by_name(cases: list[Case], answer: Callable[[Case], Answer]) -> dict[str, Answer]:
    return {case.name: answer(case) for case in cases}


def test_tfdvs_own_assertions_hold_for_the_answers_that_driftline_is_held_against(published: Published) -> None:
    assert published.failed == []


def test_the_wheel_ships_cases_of_every_sort(published: Published) -> None:
    answers = [answer_of_tfdv(case.answer) for case in published.windows]
    said = Counter(
        sort
        for answer in answers
        for sort in (
            "nothing" if answer == Answer() else "something",
            *(each.type for each in answer.broken),
            *((each.measure, each.reference, each.flagged) for each in answer.distances),
        )
    )
    assert len(published.windows) >= 38
    assert said["nothing"] >= 10
    assert said["something"] >= 25
    assert said["SCHEMA_MISSING_COLUMN"] >= 1
    assert said["ENUM_TYPE_UNEXPECTED_STRING_VALUES"] >= 5
    for reference in ("training", "previous"):
        assert said["infinity_norm", reference, True] >= 2
        assert said["infinity_norm", reference, False] >= 1


def test_the_adapter_passes_on_what_tfdv_says_word_for_word(published: Published) -> None:
    def passed_on(case: Case) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
        asked = case.question
        found = tfdv.validate(
            asked.statistics.SerializeToString(),
            asked.schema.SerializeToString(),
            environment=asked.environment,
            previous=asked.previous and asked.previous.SerializeToString(),
            serving=asked.serving and asked.serving.SerializeToString(),
        )
        anomalies = {(a.feature, a.type, a.title, a.description, a.error) for a in found.anomalies}
        measured = (("skew", found.skew), ("drift", found.drift))
        return anomalies, {(side, m.feature, m.measure, m.value) for side, each in measured for m in each}

    def said(case: Case) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
        anomalies = {
            (
                ".".join(info.path.step),
                anomalies_pb2.AnomalyInfo.Type.Name(reason.type),
                reason.short_description,
                reason.description,
                info.severity == anomalies_pb2.AnomalyInfo.ERROR,
            )
            for info in case.answer.anomaly_info.values()
            for reason in info.reason
            if reason.type != anomalies_pb2.AnomalyInfo.CUSTOM_VALIDATION
        }
        distances = {
            (side, ".".join(info.path.step), MEASURES[each.type], each.value)
            for info in case.answer.drift_skew_info
            for side in ("skew", "drift")
            for each in getattr(info, f"{side}_measurements")
        }
        return anomalies, distances

    assert {case.name: passed_on(case) for case in published.validations} == {
        case.name: said(case) for case in published.validations
    }


def test_findings_say_what_tfdv_says_and_flag_what_it_takes_for_an_error(published: Published) -> None:
    found = _by_name(published.windows, lambda case: answer_of_driftline(case.question))
    assert found == _by_name(published.windows, lambda case: answer_of_tfdv(case.answer))


def test_a_schema_that_was_inferred_warns_only_but_for_columns_that_are_gone_or_of_another_type(
    published: Published,
) -> None:
    def warned(each: Broken) -> Broken:
        return replace(each, flagged=each.flagged and each.type in _STAYS_AN_ERROR)

    def expected(case: Case) -> Answer:
        answer = answer_of_tfdv(case.answer)
        return replace(answer, broken=frozenset(warned(each) for each in answer.broken))

    found = _by_name(published.windows, lambda case: answer_of_driftline(case.question, schema_inferred=True))
    assert found == _by_name(published.windows, expected)


def test_custom_validations_break_where_tfdvs_do(published: Published) -> None:
    cases = [case for case in published.cases if case.question.rules is not None]
    if not cases:
        pytest.skip("this version of TFDV has no custom validations")
    assert len(cases) >= 4

    def broken(case: Case) -> set[tuple[str | None, str | None]]:
        asked = case.question
        bases = {} if asked.previous is None else {"previous": asked.previous.SerializeToString()}
        config, current = asked.rules.SerializeToString(), asked.statistics.SerializeToString()
        results = custom_validations(config, current, bases, asked.environment)
        for result, finding in zip(results, rule_findings(results), strict=True):
            # Each rule has a severity of its own, where TFDV gives a feature that of its worst anomaly.
            assert finding.flagged == (result.error and result.state is State.BROKEN)
        return {(result.feature, result.description) for result in results if result.state is State.BROKEN}

    def said(case: Case) -> set[tuple[str | None, str | None]]:
        return {
            (".".join(info.path.step), reason.short_description)
            for info in case.answer.anomaly_info.values()
            for reason in info.reason
            if reason.type == anomalies_pb2.AnomalyInfo.CUSTOM_VALIDATION
        }

    assert all(said(case) for case in cases)
    assert {case.name: broken(case) for case in cases} == {case.name: said(case) for case in cases}
