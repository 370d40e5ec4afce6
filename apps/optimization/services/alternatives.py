"""What else a session could deliver, what that would give up, and the file of each candidate."""

from __future__ import annotations

from typing import NamedTuple

from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import CandidateStatus, Verdict
from apps.agents.contracts.values import Value
from apps.agents.session.taking import trade
from apps.models.intake import safe_filename
from apps.models.models import Blob
from apps.optimization.errors.results import CandidateFileGone, CandidateUnknown
from apps.optimization.lineage import makers
from apps.optimization.models import OptimizationSession
from apps.optimization.services.report import CandidateReport, SessionReport


class Alternative(Value):
    """A measured candidate that is not what the session delivers."""

    candidate: str
    title: str
    status: CandidateStatus
    on_front: bool
    judged: bool
    """Whether it was measured on the test examples. Otherwise that comes first when it is taken."""
    takable: bool
    """Whether it may be delivered instead: it holds every limit as far as it was measured."""
    reason: str
    """Why it has its status."""
    trade: str
    """What it gives up and gains against what is delivered, in a sentence with both numbers and their intervals."""
    file_kept: bool
    """Whether its file can be downloaded. If not, taking it makes it again."""
    size_bytes: int | None


class Alternatives(Value):
    """What a session delivers, and what it could deliver instead."""

    delivered: str | None
    """The key of the candidate; `None` if the original stands."""
    candidates: tuple[Alternative, ...]
    """Those on the front first."""


def alternatives(report: SessionReport) -> Alternatives:
    """The measured candidates other than the one delivered. None in a comparison."""
    found = [] if report.compared else [_alternative(one, report) for one in report.others]
    ordered = sorted(found, key=lambda one: not one.on_front)
    return Alternatives(delivered=report.verdict.candidate, candidates=tuple(ordered))


def _alternative(one: CandidateReport, report: SessionReport) -> Alternative:
    assert one.evaluation is not None, "measured"
    winner = report.winner
    return Alternative(
        candidate=one.key,
        title=one.title,
        status=one.status,
        on_front=one.key in report.front.keys,
        judged=one.evaluation.part is Part.EVALUATION,
        takable=one.status is CandidateStatus.ACCEPTED,
        reason=one.reason,
        trade=trade(
            one.evaluation,
            winner.evaluation if winner else None,
            chosen=f"{winner.key}, which is delivered" if winner else "",
            intervals=True,
        ),
        file_kept=one.digest is not None,
        size_bytes=one.size_bytes,
    )


class CandidateFile(NamedTuple):
    """A candidate's file, and its download name."""

    blob: Blob
    filename: str


def candidate_file(session: OptimizationSession, candidate: str) -> CandidateFile:
    """The file of any candidate that was made; of what the session delivers if `candidate` is empty.

    Raises `CandidateUnknown`, and `CandidateFileGone` if it was not made or is not kept any more.
    """
    if not candidate and session.verdict:
        candidate = Verdict.model_validate(session.verdict).candidate or ""
    known = list(session.candidates.order_by("pk").values_list("key", flat=True))
    if candidate not in known or session.compared_id is not None:
        raise CandidateUnknown(field="candidate", candidate=candidate, known=listed(known) or "none")
    step = makers(session).get(candidate)
    if step is None or step.artifact is None:
        raise CandidateFileGone(field="candidate", candidate=candidate)
    name = f"{session.version.model.name}-{candidate}-{step.artifact_filename}"
    return CandidateFile(step.artifact, safe_filename(name.replace(" ", "-")))
