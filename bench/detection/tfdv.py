"""Plain TFDV as a peer: an inferred schema with one threshold for every column; changes when its users would do otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from bench.detection.cases import Case, Source
from bench.detection.datasets import TIME
from bench.detection.tally import Flag, Judged

THRESHOLDS = (0.1, 0.3)


class Detector:
    """TFDV with Jensen-Shannon for numbers and L-infinity for text, and the anomalies of the schema that it infers."""

    def __init__(self, source: Source) -> None:
        import tensorflow_data_validation

        self._tfdv: Any = tensorflow_data_validation
        self._reference = self._statistics(source.reference)
        self._schemas = {limit: self._schema(limit) for limit in THRESHOLDS}

    def judge(self, case: Case) -> Mapping[float, Judged]:
        """Return what is said at each threshold."""
        window = self._statistics(case.table)
        return {limit: Judged.of(case, self._flags(window, schema)) for limit, schema in self._schemas.items()}

    def _statistics(self, table: pa.Table) -> Any:
        from tensorflow_data_validation.statistics import stats_impl, stats_options
        from tfx_bsl.arrow import table_util

        # Straight from Arrow: pandas would make floats of the whole numbers of some windows only.
        batch = table.drop([TIME]).combine_chunks().to_batches()[0]
        canonical = table_util.CanonicalizeRecordBatch(batch)
        return stats_impl.generate_statistics_in_memory(canonical, stats_options.StatsOptions())

    def _schema(self, limit: float) -> Any:
        from tensorflow_metadata.proto.v0 import schema_pb2

        schema = self._tfdv.infer_schema(self._reference)
        for feature in schema.feature:
            comparator = feature.drift_comparator
            if feature.type == schema_pb2.BYTES:
                comparator.infinity_norm.threshold = limit
            else:
                comparator.jensen_shannon_divergence.threshold = limit
        return schema

    def _flags(self, window: Any, schema: Any) -> list[Flag]:
        found = self._tfdv.validate_statistics(window, schema, previous_statistics=self._reference)
        return [Flag((name,), info.short_description) for name, info in found.anomaly_info.items()]
