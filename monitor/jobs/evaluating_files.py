"""An evaluation of files: `driftline evaluate`. Calls the pure stages, and writes a folder that TFMA reads.

Changes with what is written of an evaluation. TFMA, which takes seconds to import, is imported when it is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from collectors.formats.tfrecord import masked_crc
from monitor.errors import ConfigError, InputError
from monitor.evaluate.evaluation import Evaluation
from monitor.jobs.checking import about
from monitor.jobs.eval_configs import read_config
from monitor.jobs.evaluation_rows import EvaluationExamples, EvaluationFiles, EvaluationRows, examples_of, read_rows
from monitor.report.evaluation_documents import RowCounts, json_text, outputs_json, summary

if TYPE_CHECKING:
    from monitor.evaluate.blessing import Judgement
    from monitor.evaluate.model_specs import Settled

SUMMARY = "driftline.json"
EVAL_CONFIG = "eval_config.json"
_RESULTS = re.compile(
    r"driftline\.json|eval_config\.json|validations\.tfrecord|(metrics|plots|attributions)-\d{5}-of-\d{5}\.tfrecord"
)
_PREFIXES = ("metrics", "plots", "attributions", "validations")
"""What TFMA's loaders look for, whatever follows."""
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class EvaluatedFiles:
    """What was found.

    Attributes:
        evaluation: the numbers.
        judgement: the gate's word on them.
        data: what became of the rows.
        baseline_data: what became of the baseline's rows, where it has its own.
        baseline: name of the baseline model, if any.
        document: the JSON object that is beside TFMA's files.
    """

    evaluation: Evaluation
    judgement: Judgement
    data: RowCounts
    baseline_data: RowCounts | None
    baseline: str | None
    document: Mapping[str, Any]


def evaluate_files(files: EvaluationFiles) -> EvaluatedFiles:
    """Evaluate rows, judge what was found, and write both into a folder.

    Raises:
        InputError: files or columns cannot be used, or the folder holds something else.
        ConfigError: the EvalConfig is wrong.
    """
    folder = _checked_folder(files.output)
    text = read_config(files.eval_config)
    rows = read_rows(files)
    # TFMA, only now: what is wrong with files is said at once.
    from monitor.evaluate.model_specs import baseline_of

    settled = _settled(text, rows)
    found = examples_of(rows, settled.config)
    evaluation = _evaluated(files, settled.config, found)
    judgement = _judged(files, evaluation, settled, found.labelled)
    document = summary(evaluation, judgement, found.data, found.baseline_data, files.least_labels)
    document["outputs"] = outputs_json(found.examples)
    written = _result(files, evaluation, settled.config, judgement)
    _write(folder, written | {SUMMARY: json_text(document).encode()})
    baseline = baseline_of(settled.config)
    name = None if baseline is None else str(baseline.name)
    return EvaluatedFiles(evaluation, judgement, found.data, found.baseline_data, name, document)


def framed(records: Iterable[bytes]) -> bytes:
    """Return records as a TFRecord file has them (see `collectors.formats.tfrecord`)."""
    parts = []
    for record in records:
        length = _LENGTH.pack(len(record))
        parts += [length, _CRC.pack(masked_crc(length)), record, _CRC.pack(masked_crc(record))]
    return b"".join(parts)


def _settled(text: str, rows: EvaluationRows) -> Settled:
    from monitor.evaluate.config_checks import check_as_written, check_settled, paired_metrics
    from monitor.evaluate.eval_config import Source, parse_eval_config
    from monitor.evaluate.model_specs import Roles, filled, reads_own_predictions, with_baseline, without_baseline

    source = Source(text, rows.files.eval_config)
    config = parse_eval_config(source)
    check_as_written(config, source)
    roles = Roles(rows.files.roles.label, rows.files.roles.prediction, rows.files.roles.weight)
    theirs = None if rows.baseline is None else rows.baseline.table.column_names
    config = filled(config, roles, rows.data.table.column_names, theirs)
    compared = rows.baseline is not None or reads_own_predictions(config)
    settled = with_baseline(config, source) if compared else without_baseline(config, source)
    check_settled(settled.config, source)
    metrics = paired_metrics(settled.config)
    if metrics and rows.baseline is not None and not rows.are_paired:
        raise ConfigError(
            f"{source.name}: {', '.join(metrics)} compares two predictions of one example; "
            "name the column that identifies examples in both files by --id-column"
        )
    return settled


def _evaluated(files: EvaluationFiles, config: Any, found: EvaluationExamples) -> Evaluation:
    from monitor.evaluate.evaluating import evaluate

    if not found.labelled:
        return Evaluation({})
    with about(files.data):
        return evaluate(found.examples, config, baseline=found.baseline)


def _judged(files: EvaluationFiles, evaluation: Evaluation, settled: Settled, labelled: int) -> Judgement:
    from monitor.evaluate.blessing import judge

    try:
        return judge(evaluation, settled, labelled, files.least_labels)
    except ConfigError as error:
        raise ConfigError(f"{files.eval_config}: {error}") from error


def _result(files: EvaluationFiles, evaluation: Evaluation, config: Any, judgement: Judgement) -> dict[str, bytes]:
    from monitor.evaluate.output import result_files

    ending = PurePosixPath(files.data).suffix.removeprefix(".")
    results = result_files(evaluation, config, judgement.validation, files.data, ending)
    config_file = {} if results.eval_config is None else {EVAL_CONFIG: results.eval_config.encode()}
    return config_file | {name: framed(records) for name, records in results.records.items()}


def _checked_folder(output: str) -> Path:
    """Return the folder to write into; raises InputError where it is none, or TFMA would read what else it holds as results."""
    if "://" in output:
        raise InputError(f"{output}: results are written to a local folder")
    folder = Path(output).resolve()
    try:
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    except NotADirectoryError as error:
        raise InputError(f"{output}: this is a file; name a folder to write the result to") from error
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror or error})") from error
    foreign = [name for name in names if name.startswith(_PREFIXES) and not _RESULTS.fullmatch(name)]
    if foreign:
        raise InputError(f"{output}: TFMA would read {foreign[0]} there as a part of the result; name another folder")
    return folder


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder whole or not at all; in one that exists, the files one by one, once those of an earlier run are gone.

    So what judges (the validations, our summary) is never there without what it judges.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        if folder.exists():
            earlier = [path.name for path in folder.iterdir() if _RESULTS.fullmatch(path.name)]
            for name in reversed([*earlier, *files]):
                (folder / name).unlink(missing_ok=True)
            _put(folder, files)
        else:
            partial.mkdir(parents=True)
            _put(partial, files)
            partial.rename(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        partial = folder / f".{name}.{os.getpid()}.partial"
        try:
            partial.write_bytes(content)
            partial.rename(folder / name)
        finally:
            partial.unlink(missing_ok=True)
