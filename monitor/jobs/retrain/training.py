"""The steps of a retrain up to a candidate: agreement, room on the GPUs, submission, the run; changes with these."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime

from monitor.act.lifecycle import Event
from monitor.act.retrain import Retrain, RetrainState
from monitor.act.steps import Found, Gpus, Headroom, Progress, Report
from monitor.act.timing import lasts, over, words
from monitor.clock import rfc3339
from monitor.errors import InputError, TransientError
from monitor.jobs.retrain.events import stop_until
from monitor.jobs.retrain.work import Work, as_document


def proposed(work: Work, retrain: Retrain) -> Retrain:
    """Wait for somebody to agree, for a time."""
    if not over(retrain.deadline_at, work.now):
        return retrain
    waited = words(lasts(retrain.created_at, work.now))
    return work.end(retrain, Event.EXPIRE, f"nobody approved it within {waited}")


def approved(work: Work, retrain: Retrain) -> Retrain:
    """Go on to the GPUs, or straight to the trainer."""
    if work.settings.headroom is None:
        return _submit(work, retrain, None)
    until = work.now + work.settings.headroom.give_up_after
    return work.change(retrain, Event.CHECK_GPUS, "looking for room on the GPUs", deadline_at=until)


def gpu_check(work: Work, retrain: Retrain) -> Retrain:
    """Submit where the GPUs have room; else try again later and say so, until there was none for too long."""
    gpus = work.gpus
    found = work.long.done("headroom", lambda _: _headroom(gpus), retrain)
    if found is None:
        return retrain
    proceed = work.settings.headroom is None or work.settings.headroom.on_unknown == "proceed"
    if found.verdict == Headroom.HEALTHY or (found.verdict == Headroom.UNKNOWN and proceed):
        return _submit(work, retrain, found)
    document = {"gpu_check": as_document(found)}
    if over(retrain.deadline_at, work.now):
        waited = words(lasts(_entered(retrain), work.now))
        return work.end(
            retrain, Event.FAIL, f"no room on the GPUs for {waited}: {found.verdict}: {found.reason}", found=document
        )
    reason = f"waiting for the GPUs: {found.verdict}: {found.reason}"
    if retrain.details.get("gpu_check", {}).get("verdict") != found.verdict:
        told = work.news.of(retrain, f"Retraining {retrain.model} waits", reason, part=str(found.verdict))
        retrain = work.change(retrain, Event.DEFER, reason, found=document, notify=told)
    return work.later(retrain, reason, found=document)


def submitted(work: Work, retrain: Retrain) -> Retrain:
    """Hand the request to the trainer; the id of the retrain makes it one run, however often that takes."""
    try:
        reference = work.long.done("submit", work.trainer.submit, retrain)
    except TransientError as error:
        if over(retrain.deadline_at, work.now):
            waited = words(lasts(_entered(retrain), work.now))
            reason = f"the trainer could not be reached for {waited}: {error}"
            return work.end(retrain, Event.FAIL, reason, deadline_at=stop_until(retrain, work.now))
        return work.later(retrain, f"the trainer cannot be reached: {error}")
    except InputError as error:
        return work.end(retrain, Event.FAIL, f"the trainer refused: {error}")
    if reference is None:
        return retrain
    return work.change(
        retrain,
        Event.START,
        f"the trainer runs it as {reference}",
        found={"heard_at": rfc3339(work.now)},
        reference=reference,
        deadline_at=work.now + work.settings.train_within,
    )


def running(work: Work, retrain: Retrain) -> Retrain:
    """Ask how the run goes, where that can be asked; one that is silent or takes too long has failed."""
    ended = work.long.ended("poll", work.trainer.poll, retrain)
    if ended is None:
        return retrain
    try:
        report, trouble = _told(ended)
    except InputError as error:
        reason = f"the trainer cannot be asked: {error}"
        return work.end(retrain, Event.FAIL, reason, deadline_at=stop_until(retrain, work.now))
    if report is not None and (ending := _ENDINGS.get(report.progress)) is not None:
        return ending(work, retrain, report)
    if over(retrain.deadline_at, work.now):
        reason = f"the training took longer than {words(work.settings.train_within)}"
        return work.end(retrain, Event.FAIL, reason, deadline_at=stop_until(retrain, work.now))
    if report is None:
        silent = lasts(_heard(retrain), work.now)
        if silent >= work.settings.silent_for:
            reason = f"the trainer is lost: no sign of life for {words(silent)}{trouble}"
            return work.end(retrain, Event.FAIL, reason, deadline_at=stop_until(retrain, work.now))
        lost_at = _heard(retrain) + work.settings.silent_for
        return work.later(retrain, retrain.reason, wait=None if trouble else work.poll_every, at_latest=lost_at)
    reason = f"the training is {report.progress}" + (f": {report.reason}" if report.reason else "")
    return work.later(retrain, reason, found={"heard_at": rfc3339(work.now)}, wait=work.poll_every)


def _completed(work: Work, retrain: Retrain, report: Report) -> Retrain:
    if not report.candidate:
        # It may still report by itself; meanwhile it gives no sign of life.
        silent = lasts(_heard(retrain), work.now)
        reason = "the trainer is done, but has not said where the model is"
        if silent >= work.settings.silent_for:
            return work.end(retrain, Event.FAIL, f"{reason}, for {words(silent)}")
        return work.later(retrain, reason, wait=work.poll_every)
    version = report.candidate.get("version", "")
    return work.change(
        retrain, Event.COMPLETE, f"the trainer reports version {version}", candidate=dict(report.candidate)
    )


def _failed(work: Work, retrain: Retrain, report: Report) -> Retrain:
    return work.end(
        retrain, Event.FAIL, f"the trainer failed: {report.reason}" if report.reason else "the trainer failed"
    )


def _lost(work: Work, retrain: Retrain, report: Report) -> Retrain:
    told = report.reason or "it does not know the run"
    reason = f"the trainer is lost: {told}"
    return work.end(retrain, Event.FAIL, reason, deadline_at=stop_until(retrain, work.now))


_ENDINGS: dict[Progress, Callable[[Work, Retrain, Report], Retrain]] = {
    Progress.COMPLETED: _completed,
    Progress.FAILED: _failed,
    Progress.LOST: _lost,
}


def _submit(work: Work, retrain: Retrain, found: Found | None) -> Retrain:
    until = work.now + work.settings.submit_within
    if found is None:
        return work.change(retrain, Event.SUBMIT, "handing the request to the trainer", deadline_at=until)
    reason = f"the GPUs are {found.verdict}: {found.reason}"
    return work.change(retrain, Event.SUBMIT, reason, found={"gpu_check": as_document(found)}, deadline_at=until)


def _headroom(gpus: Gpus | None) -> Found:
    if gpus is None:
        return Found(Headroom.UNKNOWN, "no GPUs are configured under that name")
    try:
        return gpus.headroom()
    except (InputError, TransientError) as error:
        return Found(Headroom.UNKNOWN, str(error))


def _told(poll: Future[Report | None]) -> tuple[Report | None, str]:
    try:
        return poll.result(), ""
    except TransientError as error:
        return None, f": {error}"


def _entered(retrain: Retrain) -> datetime:
    text = retrain.details.get("entered", {}).get(str(retrain.state))
    return retrain.created_at if text is None else datetime.fromisoformat(text)


def _heard(retrain: Retrain) -> datetime:
    text = retrain.details.get("heard_at")
    return _entered(retrain) if text is None else datetime.fromisoformat(text)


STEPS: dict[RetrainState, Callable[[Work, Retrain], Retrain]] = {
    RetrainState.PROPOSED: proposed,
    RetrainState.APPROVED: approved,
    RetrainState.GPU_CHECK: gpu_check,
    RetrainState.SUBMITTED: submitted,
    RetrainState.RUNNING: running,
}
"""What is done in each of these states."""
