"""What both models answered to the test examples, for the page and the API."""

from __future__ import annotations

import zipfile
from typing import NamedTuple
from uuid import UUID

from django.utils.translation import gettext, gettext_noop

from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.reports.answers import Answers
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.metrics import ClassComparison, GroupComparison
from apps.agents.contracts.state import Status, StepKind, Verdict
from apps.agents.contracts.values import Value
from apps.agents.files import answers_file
from apps.models.storage import local_path
from apps.optimization.errors.results import CandidateUnknown, NoAnswers, NoPicture
from apps.optimization.models import KeptAnswers, OptimizationSession

NONE_JUDGED = gettext_noop("no candidate was judged on the test examples.")
OLDER = gettext_noop("{candidate} was judged before Lathe kept predictions. Retry the session to get them.")
NOT_JUDGED = gettext_noop("{candidate} was not judged on the test examples, only ranked on the validation examples.")


class SessionAnswers(Value):
    """The answers to the examples on which a candidate was judged."""

    session: UUID
    candidate: str
    title: str
    judged: tuple[str, ...]
    """The keys of all candidates whose answers were kept."""
    answers: Answers
    classes: tuple[ClassComparison, ...]
    """The recall of each class, the largest losses first."""
    groups: tuple[GroupComparison, ...]
    """The largest losses first."""
    group_metric: str | None


def answered(session: OptimizationSession) -> tuple[str, ...]:
    """The keys of the session's candidates whose answers were kept."""
    return tuple(dict.fromkeys(kept.step.candidate_key for kept in KeptAnswers.objects.of_candidates(session.pk)))


def session_answers(session: OptimizationSession, candidate: str = "") -> SessionAnswers:
    """The answers of `candidate`; without one, of what the session delivers, or of the last that was judged.

    Raises `CandidateUnknown`, `NoAnswers`, `StoreFileMissing` and `StoreFileDamaged`.
    """
    kept = _kept(session, candidate)
    with local_path(kept.blob) as path:
        answers = answers_file.read_answers(path)
    key, report = kept.step.candidate_key, EvaluationReport.model_validate({**kept.step.result, "outcomes": None})
    lost = sorted(report.classes, key=lambda one: one.candidate_recall - one.original_recall)
    return SessionAnswers(
        session=session.pk,
        candidate=key,
        title=session.candidates.get(key=key).title,
        judged=answered(session),
        answers=answers,
        classes=tuple(lost),
        groups=report.groups,
        group_metric=report.group_metric,
    )


class Picture(NamedTuple):
    content: bytes
    content_type: str


def example_picture(session: OptimizationSession, candidate: str, name: str) -> Picture:
    """One of the pictures that an excerpt of `session_answers` names. Raises its errors, and `NoPicture`."""
    kept = _kept(session, candidate)
    try:
        with local_path(kept.blob) as path:
            content = answers_file.read_picture(path, name)
        content_type = answers_file.PICTURE_TYPES[name.rpartition(".")[2]]
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise NoPicture(name=name) from error
    return Picture(content, content_type)


def _kept(session: OptimizationSession, candidate: str) -> KeptAnswers:
    by_key = {one.step.candidate_key: one for one in KeptAnswers.objects.of_candidates(session.pk)}
    delivered = (Verdict.model_validate(session.verdict).candidate or "") if session.verdict else ""
    wanted = candidate or (delivered if delivered in by_key else next(reversed(by_key), delivered))
    if wanted in by_key:
        return by_key[wanted]
    known = list(session.candidates.order_by("pk").values_list("key", flat=True))
    if candidate and candidate not in known:
        raise CandidateUnknown(field="candidate", candidate=candidate, known=listed(known) or "none")
    raise NoAnswers(reason=_why_none(session, wanted, delivered))


def _why_none(session: OptimizationSession, wanted: str, delivered: str) -> str:
    """Why there are no answers of `wanted`, or of any candidate if it is empty."""
    evaluated = session.steps.filter(kind=StepKind.EVALUATE, status=Status.COMPLETED)
    on_test_part = evaluated.filter(parameters__part=Part.EVALUATION.value).values_list("candidate_key", flat=True)
    judged = list(dict.fromkeys(filter(None, (*on_test_part, delivered))))
    if wanted and wanted not in judged:
        return gettext(NOT_JUDGED).format(candidate=wanted)
    return gettext(OLDER).format(candidate=wanted or listed(judged)) if judged else gettext(NONE_JUDGED)
