"""Promotes the winning artifact to the model store, and rolls back. Files never change; only an alias moves.

If the alias is protected, both ask for approval, and `follow_approval` does the rest once that is given.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import Outcome, Verdict
from apps.audit import trail
from apps.models.models import Alias, AliasRequest, ModelVersion
from apps.models.services import adopt_artifact, move_or_ask, undo_or_ask
from apps.optimization import events
from apps.optimization.errors.results import NothingToPromote, NotPromoted
from apps.optimization.lineage import makers
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.regressions import tell_of_regression

PRODUCTION = "production"


@dataclass(frozen=True)
class Promotion:
    """The version that was made of a session's artifact, and the request if the alias does not point at it yet."""

    version: ModelVersion
    asked: AliasRequest | None = None


@transaction.atomic
def promote(session: OptimizationSession, user: User, alias: str = PRODUCTION) -> Promotion:
    """Adds the winning artifact as a version of its model and moves `alias` to it. A second promotion reuses the
    version.

    Raises `PermissionDenied`, `NothingToPromote`, and the errors of `move_or_ask`.
    """
    require_role(user, session.team, Role.ENGINEER)
    row = OptimizationSession.objects.locked(session.pk)
    version = _adopted(row, user)
    reason = f"Session {row.pk}: {Verdict.model_validate(row.verdict).reason}"
    held = row.version.model.aliases.filter(name=alias).select_related("version__model").first()
    done = move_or_ask(row.version.model, alias, version, user, reason, session=row.pk)
    events.poke(row)
    if isinstance(done, AliasRequest):
        return Promotion(version, done)
    _tell_promotion(row, held.version if held else None, version, alias, user, reason)
    return Promotion(version)


def _adopted(session: OptimizationSession, user: User) -> ModelVersion:
    """The winning artifact as a version of the session's model, which the session refers to from now on."""
    step = _winning_step(session)
    assert step.artifact is not None
    version = adopt_artifact(
        session.version.model,
        blob=step.artifact,
        filename=step.artifact_filename,
        parent=session.version,
        source_session=session.pk,
        source_step=step.key,
        user=user,
        description=session.candidates.get(key=Verdict.model_validate(session.verdict).candidate).title,
        summary=_summary(step),
    )
    session.result_version = version
    session.save(update_fields=["result_version"])
    return version


def _tell_promotion(
    session: OptimizationSession, before: ModelVersion | None, version: ModelVersion, alias: str, user: User, why: str
) -> None:
    data = {"alias": alias}
    trail.record("session.promoted", actor=user, session=session, subject=str(version), reason=why, data=data)
    tell_of_regression(session, before, version, alias, user)


@transaction.atomic
def promotion_rollback(
    session: OptimizationSession, user: User, reason: str, alias: str = PRODUCTION
) -> Alias | AliasRequest:
    """Moves `alias` back to where it pointed before the promotion, or asks for approval of that.

    Raises `PermissionDenied`, `NotPromoted` if it does not point at this session's version, and `NothingToUndo` if it
    pointed at nothing before.
    """
    require_role(user, session.team, Role.ENGINEER)
    row = OptimizationSession.objects.locked(session.pk)
    held = row.version.model.aliases.filter(name=alias, version=row.result_version_id).first()
    if row.result_version_id is None or held is None:
        raise NotPromoted(alias=alias)
    done = undo_or_ask(held, user, reason, session=row.pk)
    if isinstance(done, Alias):
        _tell_rollback(row, str(row.result_version), done.name, str(done.version), user, reason)
    events.poke(row)
    return done


def _tell_rollback(session: OptimizationSession, subject: str, alias: str, now: str, user: User, reason: str) -> None:
    data = {"alias": alias, "now": now}
    trail.record(
        "session.promotion_rolled_back", actor=user, session=session, subject=subject, reason=reason, data=data
    )


def follow_approval(request: AliasRequest, user: User) -> None:
    """After `user` has approved a session's promotion or roll back: tells of it as if it had been done at once."""
    session = OptimizationSession.objects.filter(pk=request.session).first() if request.session else None
    if session is None or request.to_version is None:
        return
    if request.rolls_back:
        subject = str(request.from_version or session.version)
        _tell_rollback(session, subject, request.alias.name, str(request.to_version), user, request.reason)
    else:
        _tell_promotion(session, request.from_version, request.to_version, request.alias.name, user, request.reason)
    events.poke(session)


def _summary(step: SessionStep) -> ModelSummary | None:
    """The artifact's summary from the step that made it. Older steps do not have one."""
    found = step.result.get("model")
    return ModelSummary.model_validate(found) if found else None


def _winning_step(session: OptimizationSession) -> SessionStep:
    """The step that made the winning artifact. Raises `NothingToPromote`."""
    if session.verdict is None:
        raise NothingToPromote(reason=_("it is {status}.").format(status=_(session.status)))
    if session.compared is not None:
        sentence = _("it made nothing. Move the alias to {version} instead.")
        raise NothingToPromote(reason=sentence.format(version=session.compared))
    verdict = Verdict.model_validate(session.verdict)
    if verdict.outcome is not Outcome.IMPROVED:
        raise NothingToPromote(reason=verdict.reason)
    step = makers(session).get(verdict.candidate or "")
    if step is None:
        raise NothingToPromote(reason=_("its winning candidate has no artifact."))
    return step
