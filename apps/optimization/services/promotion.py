"""Promotes the winning artifact to the model store, and rolls back. Files never change; only an alias moves."""

from __future__ import annotations

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import Outcome, Verdict
from apps.audit import trail
from apps.models.models import Alias, ModelVersion
from apps.models.services import adopt_artifact, move_alias, undo_alias_move
from apps.optimization import events
from apps.optimization.errors import NothingToPromote, NotPromoted
from apps.optimization.lineage import makers
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.regressions import tell_of_regression

PRODUCTION = "production"


@transaction.atomic
def promote(session: OptimizationSession, user: User, alias: str = PRODUCTION) -> ModelVersion:
    """Adds the winning artifact as a version of its model and moves `alias` to it. A second promotion reuses the
    version.

    Raises `PermissionDenied`, `NothingToPromote`, and the errors of `move_alias`.
    """
    require_role(user, session.team, Role.ENGINEER)
    row = OptimizationSession.objects.locked(session.pk)
    step = _winning_step(row)
    assert step.artifact is not None
    version = adopt_artifact(
        row.version.model,
        blob=step.artifact,
        filename=step.artifact_filename,
        parent=row.version,
        source_session=row.pk,
        source_step=step.key,
        user=user,
        description=row.candidates.get(key=Verdict.model_validate(row.verdict).candidate).title,
        summary=_summary(step),
    )
    row.result_version = version
    row.save(update_fields=["result_version"])
    reason = f"Session {row.pk}: {Verdict.model_validate(row.verdict).reason}"
    held = row.version.model.aliases.filter(name=alias).select_related("version__model").first()
    move_alias(row.version.model, alias, version, user, reason)
    trail.record(
        "session.promoted", actor=user, session=row, subject=str(version), reason=reason, data={"alias": alias}
    )
    tell_of_regression(row, held.version if held else None, version, alias, user)
    events.poke(row)
    return version


@transaction.atomic
def promotion_rollback(session: OptimizationSession, user: User, reason: str, alias: str = PRODUCTION) -> Alias:
    """Moves `alias` back to where it pointed before the promotion.

    Raises `PermissionDenied`, `NotPromoted` if it does not point at this session's version, and `NothingToUndo` if it
    pointed at nothing before.
    """
    require_role(user, session.team, Role.ENGINEER)
    row = OptimizationSession.objects.locked(session.pk)
    held = row.version.model.aliases.filter(name=alias, version=row.result_version_id).first()
    if row.result_version_id is None or held is None:
        raise NotPromoted(alias=alias)
    moved = undo_alias_move(held, user)
    trail.record(
        "session.promotion_rolled_back",
        actor=user,
        session=row,
        subject=str(row.result_version),
        reason=reason,
        data={"alias": alias, "now": str(moved.version)},
    )
    events.poke(row)
    return moved


def _summary(step: SessionStep) -> ModelSummary | None:
    """The artifact's summary from the step that made it. Older steps do not have one."""
    found = step.result.get("model")
    return ModelSummary.model_validate(found) if found else None


def _winning_step(session: OptimizationSession) -> SessionStep:
    """The step that made the winning artifact. Raises `NothingToPromote`."""
    if session.verdict is None:
        raise NothingToPromote(reason=f"it is {session.status}.")
    if session.compared is not None:
        raise NothingToPromote(reason=f"it made nothing. Move the alias to {session.compared} instead.")
    verdict = Verdict.model_validate(session.verdict)
    if verdict.outcome is not Outcome.IMPROVED:
        raise NothingToPromote(reason=verdict.reason)
    step = makers(session).get(verdict.candidate or "")
    if step is None:
        raise NothingToPromote(reason="its winning candidate has no artifact.")
    return step
