"""TFDV's numbers on real trips: those that `driftline check` reports, against TFDV on the same rows; docs/conformance.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from google.protobuf import text_format
from pyarrow import csv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from monitor.compare.findings import Finding
from monitor.config.detection import DetectionSettings
from monitor.jobs.checking import Comparison, ReferenceFiles, check
from monitor.window.frames import ColumnRoles
from tests.conformance.answers import (
    MEASURES,
    Answer,
    Question,
    answer_of_driftline,
    answer_of_findings,
    answer_of_tfdv,
    statistics_by_tfdv,
)

WEIGHT = "trip_start_month"


@dataclass(frozen=True, slots=True)
class Trips:
    """Trips of 2013 and of 2015, in files and as tables, and TFX's schema of them."""

    folder: Path
    earlier: pa.Table
    later: pa.Table
    schema: Any

    def check(self, schema: Any, weight: str | None = None) -> Comparison:
        """Run `driftline check` on both years, without a label, so that all columns are compared."""
        place = self.folder / "schema.pbtxt"
        place.write_text(text_format.MessageToString(schema))
        reference = ReferenceFiles(str(self.folder / "2013.csv"), ColumnRoles(weight=weight), str(place))
        return check(reference, str(self.folder / "2015.csv"), DetectionSettings())


@pytest.fixture(scope="module")
def trips(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trips:
    taxi, folder = shared_data / "chicago_taxi", tmp_path_factory.mktemp("taxi")
    table = csv.read_csv(taxi / "simple_data.csv", convert_options=csv.ConvertOptions(strings_can_be_null=True))
    year = pc.year(pc.cast(pc.multiply(table["trip_start_timestamp"], 1000), pa.timestamp("ms")))
    earlier, later = (table.filter(pc.equal(year, each)) for each in (2013, 2015))
    csv.write_csv(earlier, folder / "2013.csv")
    csv.write_csv(later, folder / "2015.csv")
    schema = text_format.Parse((taxi / "user_provided_schema.pbtxt").read_text(), schema_pb2.Schema())
    return Trips(folder, earlier, later, schema)


def _limited(schema: Any, threshold: float) -> Any:
    """Return the schema with a threshold for everything that TFDV measures of its features."""
    copied = schema_pb2.Schema()
    copied.CopyFrom(schema)
    for feature in copied.feature:
        for comparator in (feature.skew_comparator, feature.drift_comparator):
            comparator.jensen_shannon_divergence.threshold = threshold
            if feature.type == schema_pb2.BYTES:
                comparator.infinity_norm.threshold = threshold
    return copied


def _of_tfdv(findings: list[Finding]) -> dict[tuple[str | None, str], Finding]:
    return {(each.feature, each.measure): each for each in findings if each.measure in MEASURES.values()}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_check_reports_tfdvs_distances_and_anomalies_and_flags_by_the_schemas_thresholds(
    trips: Trips, weight: str | None
) -> None:
    import tensorflow_data_validation as tfdv

    schema = _limited(trips.schema, 0.1)
    compared = trips.check(schema, weight)
    options = tfdv.StatsOptions(weight_feature=weight)
    earlier, later = (statistics_by_tfdv(table, options) for table in (trips.earlier, trips.later))
    skew = answer_of_tfdv(tfdv.validate_statistics(earlier, schema, serving_statistics=later)).distances
    broken = answer_of_tfdv(tfdv.validate_statistics(later, schema)).broken
    # The weight is no feature to Driftline.
    theirs = Answer(
        frozenset(each for each in broken if each.feature != weight),
        frozenset(each for each in skew if each.feature != weight),
    )
    assert answer_of_findings(compared.findings[0].findings) == theirs
    assert len(theirs.distances) >= 18
    assert {each.flagged for each in theirs.distances} == {True, False}
    assert {each.type for each in theirs.broken} >= {"ENUM_TYPE_UNEXPECTED_STRING_VALUES"}


def test_without_thresholds_the_same_distances_inform(trips: Trips) -> None:
    limited = _of_tfdv(list(trips.check(_limited(trips.schema, 0.1)).findings[0].findings))
    plain = _of_tfdv(list(trips.check(trips.schema).findings[0].findings))
    assert {key: each.value for key, each in plain.items()} == {key: each.value for key, each in limited.items()}
    assert {(each.threshold, each.flagged) for each in plain.values()} == {(None, False)}
    known = [plain[column, "jensen_shannon_divergence"].value for column in ("trip_miles", "trip_seconds")]
    assert known == pytest.approx([0.70, 0.44], abs=0.005)


def test_statistics_that_a_tfx_pipeline_wrote_give_the_same_answers(shared_data: Path) -> None:
    import tensorflow_data_validation as tfdv

    taxi = shared_data / "chicago_taxi"
    schema = text_format.Parse((taxi / "schema_gen" / "schema.pbtxt").read_text(), schema_pb2.Schema())
    train, evaluation = (statistics_pb2.DatasetFeatureStatisticsList() for _ in range(2))
    for parsed, split in ((train, "train"), (evaluation, "eval")):
        parsed.ParseFromString((taxi / "statistics_gen" / f"Split-{split}" / "FeatureStats.pb").read_bytes())
    asked = Question(train, _limited(schema, 0.1), previous=evaluation, serving=evaluation)
    theirs = answer_of_tfdv(
        tfdv.validate_statistics(train, asked.schema, previous_statistics=evaluation, serving_statistics=evaluation)
    )
    assert len(theirs.distances) >= 36
    assert answer_of_driftline(asked) == theirs
