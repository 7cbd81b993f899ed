"""What a rule's expression says of one window; what a data break mutes; which finding comes first."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.alert.expression import evaluate, sources
from monitor.alert.facts import Facts, Source, labels_of, quality_findings, traffic_findings
from monitor.alert.ranking import MOST_FINDINGS, ranked
from monitor.config.alerting import Expression
from tests.unit.alert.findings import finding

DRIFT = finding("carrier", "drift", reference="previous", version="2")
SLICED = finding("distance", slice={"origin": "JFK", "carrier": "AA"})
LOST = finding(None, "quality", measure="auc", reference="threshold")


def expression(**parts: Any) -> Expression:
    return Expression.model_validate(parts)


@pytest.mark.parametrize(
    ("parts", "facts", "expected"),
    [
        pytest.param({"findings": ""}, Facts([DRIFT]), True, id="no matcher is met by any finding"),
        pytest.param({"findings": ""}, Facts([]), False, id="but not by none"),
        pytest.param({"findings": 'kind="drift"'}, Facts([SLICED]), False, id="another kind"),
        pytest.param(
            {"findings": 'version="2", reference="previous"'}, Facts([SLICED, DRIFT]), True, id="one is enough"
        ),
        pytest.param({"findings": 'version="1", kind="drift"'}, Facts([SLICED, DRIFT]), False, id="of one finding all"),
        pytest.param(
            {"findings": r'slice="{\"carrier\":\"AA\",\"origin\":\"JFK\"}"'},
            Facts([SLICED]),
            True,
            id="a slice by name",
        ),
        pytest.param({"findings": 'slice=""'}, Facts([SLICED]), False, id="all rows are the slice without a name"),
        pytest.param({"quality": 'measure="auc"'}, Facts([LOST]), None, id="labels have not spoken"),
        pytest.param({"quality": 'measure="auc"'}, Facts([], [LOST]), True, id="labels have spoken"),
        pytest.param({"quality": ""}, Facts([LOST], []), False, id="what traffic says is no quality"),
        pytest.param({"not": {"findings": ""}}, Facts([]), True, id="not"),
        pytest.param({"not": {"findings": ""}}, Facts(), None, id="not is unknown while nobody has spoken"),
        pytest.param(
            {"any": [{"findings": ""}, {"quality": ""}]}, Facts([DRIFT]), None, id="any waits for all that it mentions"
        ),
        pytest.param({"any": [{"findings": ""}, {"quality": ""}]}, Facts([DRIFT], []), True, id="any"),
        pytest.param({"all": [{"findings": ""}, {"quality": ""}]}, Facts([DRIFT], []), False, id="all"),
        pytest.param(
            {"all": [{"quality": ""}, {"not": {"findings": 'kind="data_break"'}}]},
            Facts([DRIFT], [LOST]),
            True,
            id="quality lost without a data break",
        ),
    ],
)
def test_an_expression_holds_of_a_window(parts: dict[str, Any], facts: Facts, expected: bool | None) -> None:
    found = evaluate(expression(**parts), facts)
    assert (None if found is None else found.matched) is expected


def test_an_expression_names_its_sources_however_deep() -> None:
    deep = expression(all=[{"not": {"any": [{"quality": ""}, {"findings": ""}]}}])
    assert sources(deep) == {Source.TRAFFIC, Source.QUALITY}
    assert sources(expression(**{"not": {"quality": ""}})) == {Source.QUALITY}


def test_the_findings_behind_an_alert_are_those_that_match_each_once() -> None:
    twice = expression(any=[{"findings": 'kind="drift"'}, {"findings": ""}, {"not": {"findings": 'feature="x"'}}])
    found = evaluate(twice, Facts([SLICED, DRIFT]))
    assert found is not None
    assert found.findings == [DRIFT, SLICED]


def test_what_does_not_match_has_no_findings() -> None:
    found = evaluate(expression(all=[{"findings": ""}, {"findings": 'feature="x"'}]), Facts([DRIFT]))
    assert found is not None
    assert (found.matched, list(found.findings)) == (False, [])


BREAK = finding("distance", "data_break", measure="new_unit", p_value=None, threshold=None, value=1.6)


@pytest.mark.parametrize(
    ("matchers", "others", "features", "muted"),
    [
        pytest.param(
            'kind="skew"', [SLICED], [], ["distance"], id="skew of the broken feature is muted, in slices too"
        ),
        pytest.param("", [SLICED], ["distance"], ["distance"], id="the break itself speaks"),
        pytest.param('kind=~"skew|drift"', [DRIFT], ["carrier"], [], id="other features speak for themselves"),
        pytest.param(
            'kind="skew"', [SLICED | {"version": "2"}], ["distance"], [], id="so does another version, which is whole"
        ),
        pytest.param(
            'kind=~"skew|data_break"', [SLICED], ["distance", "distance"], [], id="who asks for both gets both"
        ),
        pytest.param('kind!="drift"', [SLICED], ["distance"], ["distance"], id="not asking against it is not asking"),
        pytest.param(
            'kind="schema_anomaly"',
            [SLICED | {"kind": "schema_anomaly"}],
            ["distance"],
            [],
            id="the schema is the schema",
        ),
        pytest.param('kind="missing_values"', [SLICED | {"kind": "missing_values"}], [], ["distance"], id="gone null"),
    ],
)
def test_a_data_break_mutes_what_it_explains(
    matchers: str, others: list[dict[str, Any]], features: list[str], muted: list[str]
) -> None:
    found = evaluate(expression(findings=matchers), Facts([*others, BREAK]))
    assert found is not None
    assert [each["feature"] for each in found.findings] == features
    assert [(each["feature"], each["muted_by"]) for each in found.muted] == [
        (each, "data break: new_unit") for each in muted
    ]


def test_the_strongest_finding_comes_first() -> None:
    wanted = [
        BREAK,
        finding("a", p_value=None, value=0.4),
        finding("b", p_value=1e-9),
        finding("c", p_value=1e-9, value=0.2),
        finding("auc", "quality", p_value=1e-9, value=0.6, threshold=0.7),
        finding("d", p_value=1e-3),
        finding("e", p_value=1e-12, slice={"origin": "JFK"}),
    ]
    assert ranked(reversed(wanted)) == wanted


def test_an_alert_keeps_only_so_many_findings() -> None:
    found = evaluate(expression(findings=""), Facts([finding(f"f{place}") for place in range(500)]))
    assert found is not None
    assert len(found.findings) == MOST_FINDINGS


def test_flagged_findings_are_taken_from_both_documents_with_what_they_are_about() -> None:
    about = {"version": "1", "window_start": "2026-03-01T00:00:00Z", "window_end": "2026-03-01T01:00:00Z"}
    bare = {name: value for name, value in LOST.items() if name not in (*about, "slice")}
    quiet = bare | {"flagged": False}
    traffic = about | {"slice": {"origin": "JFK"}, "findings": [bare, quiet]}
    assert list(traffic_findings(traffic)) == [LOST | {"slice": {"origin": "JFK"}}]
    quality = about | {"slices": [{"slice": {}, "findings": [quiet]}, {"slice": {"origin": "EWR"}, "findings": [bare]}]}
    assert list(quality_findings(quality)) == [LOST | {"slice": {"origin": "EWR"}}]
    assert labels_of(LOST)["feature"] == ""
