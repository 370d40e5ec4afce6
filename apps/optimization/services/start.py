"""Starts a session. Every error that can be detected is raised before anything is written."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.accounts.models import Role, Team, User
from apps.accounts.services import require_role
from apps.agents.contracts.criteria import CountedSize, Criteria, Device, merged
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.formats import LITERT_SIZED, format_spec
from apps.agents.contracts.loss_limits import for_task
from apps.agents.contracts.plan_edits import NO_EDITS, PlanEdits, edits_in_words
from apps.agents.contracts.state import Earlier, Plan
from apps.agents.datasets.dataset_fit import check_against
from apps.agents.planning.agent import plan_preview
from apps.agents.planning.availability import with_pauses
from apps.agents.planning.conflicts.values import Resolution
from apps.agents.techniques.catalogue import catalogue, missing_libraries
from apps.agents.techniques.compatibility import format_label
from apps.audit import trail
from apps.models.models import DataSet, ModelVersion
from apps.optimization import breakers, events, messages, workers
from apps.optimization.criteria import parse
from apps.optimization.default_criteria import named_or_default, precedence
from apps.optimization.devices import framework_of
from apps.optimization.errors.criteria import CriteriaMissing
from apps.optimization.errors.resources import (
    AcceleratorUnavailable,
    ProviderUnavailable,
    TechniqueDisabled,
    TechniquePaused,
    TechniqueUnavailable,
)
from apps.optimization.errors.starting import DataSetNotReady, NothingToTry, SizeUncounted, TeamsDiffer, VersionNotReady
from apps.optimization.memory import Recollection
from apps.optimization.messages import RUN_STEP_ON_GPU
from apps.optimization.models import CriteriaSet, OptimizationSession, PipelineSettings
from apps.optimization.room import room_for
from apps.optimization.services.conflicts import CriteriaCheck, checked, require_sound
from apps.optimization.services.edits import check_edits, parse_edits
from apps.optimization.services.students import check_student, why_not_ready
from apps.outages import require_queue

MAX_SEED = 2**31


@dataclass(frozen=True)
class Continuation:
    """The session that a new one continues, and what that has left."""

    session: OptimizationSession
    earlier: Earlier

    @property
    def fields(self) -> dict[str, Any]:
        return {"continues": self.session, "earlier": self.earlier.model_dump(mode="json")}


def session_start(
    *,
    user: User,
    version: ModelVersion,
    dataset: DataSet,
    student: ModelVersion | None = None,
    criteria_set: CriteriaSet | None = None,
    criteria: Criteria | Mapping[str, Any] | None = None,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    resolutions: Sequence[str] = (),
    edits: PlanEdits | Mapping[str, Any] | None = None,
    retry_of: OptimizationSession | None = None,
    continuation: Continuation | None = None,
    make_anew: bool = False,
    start_anyway: bool = False,
    as_operator: bool = False,
) -> OptimizationSession:
    """Starts to optimize `version`, measured on `dataset`, for the page, the API and the command alike.

    `student` is another model of the team, trained with `version` as its teacher. The criteria are `criteria_set` or
    `criteria`, or else the default, with `overrides` and then the `resolutions` of conflicts applied (their ids);
    `edits` are what the member changed about the plan. The session keeps a copy of both. With `make_anew`, it takes no
    artifact from another session. `continuation` is what `session_continue` gives. Without `seed`, one is drawn.
    Raises `PermissionDenied` below engineer, the errors of `check`, `UnknownResolution`, `SessionContradictory`,
    `PlanEditsInvalid`, `QueueAway`, and, without `start_anyway`, `NothingToTry`.
    """
    if not (as_operator and user.is_staff):
        require_role(user, version.model.team, Role.ENGINEER)
    criteria_set = named_or_default(criteria_set, criteria, user, version.model.team)
    given = wanted_criteria(criteria_set, criteria, overrides)
    recollection = Recollection(version, dataset)
    judged = _sound(version, dataset, given, criteria_set, student, resolutions, user, recollection)
    chosen = parse_edits(edits)
    _check_plan(version, dataset, judged.criteria, student, chosen, start_anyway, recollection)
    session = OptimizationSession(
        team=version.model.team,
        version=version,
        student=student,
        dataset=dataset,
        criteria_set=criteria_set,
        criteria_body=judged.criteria.model_dump(mode="json"),
        edits_body=chosen.model_dump(mode="json") if chosen.count else {},
        seed=secrets.randbelow(MAX_SEED) if seed is None else seed,
        retry_of=retry_of,
        make_anew=make_anew,
        **(continuation.fields if continuation else {}),
        created_by=user,
    )
    return begin(session, user, judged.applied)


def _check_plan(
    version: ModelVersion,
    dataset: DataSet,
    criteria: Criteria,
    student: ModelVersion | None,
    edits: PlanEdits,
    start_anyway: bool,
    recollection: Recollection,
) -> None:
    """Raises `PlanEditsInvalid`, and, without `start_anyway`, `NothingToTry` if the preview has no candidate."""
    check_edits(edits, version, dataset, criteria, student)
    if start_anyway:
        return
    plan = plan_of(version, dataset, criteria, student, edits, recollection)
    if not plan.candidates:
        raise NothingToTry(field="start_anyway", summary=plan.summary)


@transaction.atomic
def begin(session: OptimizationSession, user: User, applied: Sequence[Resolution] = ()) -> OptimizationSession:
    """The session, written. Its start is recorded, and its first message sent. Raises `QueueAway`."""
    require_queue()
    session.sessions_before = OptimizationSession.objects.judged_on(session.dataset).count()
    session.save()
    _record(session, user, applied)
    messages.send_advance(session.pk)
    events.poke(session)
    return session


def _sound(
    version: ModelVersion,
    dataset: DataSet,
    wanted: Criteria,
    criteria_set: CriteriaSet | None,
    student: ModelVersion | None,
    resolutions: Sequence[str],
    user: User,
    recollection: Recollection,
) -> CriteriaCheck:
    """The criteria with the resolutions applied, as they hold for the data set's metric. Raises what `check` does,
    `UnknownResolution` and `SessionContradictory`.
    """
    check_rows(version, dataset, criteria_set, student)
    overrules = precedence(criteria_set, user, version.model.team)
    judged = checked(wanted, version, dataset, student, resolutions, overrules, recollection)
    check(version, dataset, judged.criteria, criteria_set, student)
    require_sound(judged)
    held = for_task(judged.criteria, DatasetSpec.model_validate(dataset.spec))
    return judged.model_copy(update={"criteria": held})


def _record(session: OptimizationSession, user: User, applied: Sequence[Resolution]) -> None:
    """The audit event of its start. `applied` are the resolutions of conflicts that were applied to its criteria."""
    student = session.student
    changed = f" Changed for this session: {'; '.join(one.title for one in applied)}." if applied else ""
    taught = f" and {student} as its student" if student else ""
    if session.compared is not None:
        taught = f"; {session.compared} is compared with it"
    edited = f" The plan was edited: {edits_in_words(session.edits)}." if session.edits.count else ""
    followed = f" It continues the session {session.continues_id}." if session.continues_id else ""
    trail.record(
        "session.started",
        actor=user,
        session=session,
        subject=str(session.version),
        reason=f"Measured on {session.dataset}, with {session.criteria_set or 'custom criteria'}{taught}."
        f"{changed}{edited}{followed}",
        data={
            "criteria": session.criteria_body,
            "seed": session.seed,
            "dataset": session.dataset_id,
            **({"student": student.pk} if student else {}),
            **({"compared": session.compared_id} if session.compared_id else {}),
            **({"resolutions": [one.id for one in applied]} if applied else {}),
            **({"edits": session.edits_body} if session.edits.count else {}),
            **({"continues": str(session.continues_id)} if session.continues_id else {}),
            **({"make_anew": True} if session.make_anew else {}),
        },
    )


def wanted_criteria(
    criteria_set: CriteriaSet | None,
    criteria: Criteria | Mapping[str, Any] | None,
    overrides: Mapping[str, Any] | None = None,
) -> Criteria:
    """The effective criteria of a request. Raises `CriteriaMissing`, `CriteriaInvalid`."""
    body: Mapping[str, Any]
    if isinstance(criteria, Criteria):
        body = criteria.model_dump(mode="json")
    elif criteria is not None:
        body = criteria
    elif criteria_set is not None:
        body = criteria_set.body
    else:
        raise CriteriaMissing(field="criteria_set")
    return parse(merged(body, overrides or {}))


def check(
    version: ModelVersion,
    dataset: DataSet,
    criteria: Criteria,
    criteria_set: CriteriaSet | None = None,
    student: ModelVersion | None = None,
) -> None:
    """Checks everything that can be checked without a worker, except for contradictions (`services.conflicts`).

    Raises `TeamsDiffer`, `VersionNotReady`, `DataSetNotReady`, the errors of `check_against` (an input that the data
    set does not fill), those of `check_student`, `SizeUncounted`, `TechniqueDisabled`, `TechniquePaused`,
    `TechniqueUnavailable`, `AcceleratorUnavailable`, `ProviderUnavailable`. New rules on what may be started belong
    here.
    """
    check_rows(version, dataset, criteria_set, student)
    _check_size(version, criteria)
    _check_techniques(criteria)
    _check_device(version, criteria.target.device)


def check_rows(
    version: ModelVersion,
    dataset: DataSet,
    criteria_set: CriteriaSet | None = None,
    student: ModelVersion | None = None,
) -> None:
    """Checks whether the rows of a request go together, whatever the criteria say. Raises those errors of `check`."""
    _check_teams(version.model.team, dataset, criteria_set)
    _check_ready(version, dataset)
    check_against(version.metadata.summary, dataset.described, DatasetSpec.model_validate(dataset.spec))
    if student is not None:
        check_student(student, version)


def plan_of(
    version: ModelVersion,
    dataset: DataSet,
    criteria: Criteria,
    student: ModelVersion | None = None,
    edits: PlanEdits = NO_EDITS,
    recollection: Recollection | None = None,
) -> Plan:
    """What a session would try with these edits, as far as that is known before the analysis."""
    criteria = for_task(criteria, DatasetSpec.model_validate(dataset.spec))
    libraries = tuple(sorted(workers.libraries()))
    disabled, paused = breakers.left_out(), breakers.paused_techniques()
    taught = student.metadata.summary if student else None
    knowledge = (recollection or Recollection(version, dataset)).of(criteria)
    summary, room = version.metadata.summary, room_for(criteria.target.device)
    plan = plan_preview(summary, dataset.described, criteria, libraries, disabled, taught, edits, knowledge, room)
    return with_pauses(plan, paused)


def _check_teams(team: Team, dataset: DataSet, criteria_set: CriteriaSet | None) -> None:
    if dataset.team_id != team.pk:
        raise TeamsDiffer(field="dataset", what="data set", name=dataset, team=team)
    if criteria_set is not None and criteria_set.team_id not in (None, team.pk):
        raise TeamsDiffer(field="criteria_set", what="criteria", name=criteria_set, team=team)


def _check_ready(version: ModelVersion, dataset: DataSet) -> None:
    if not version.ready:
        raise VersionNotReady(field="version", version=version, state=why_not_ready(version))
    if not dataset.ready:
        raise DataSetNotReady(field="dataset", dataset=dataset, state=why_not_ready(dataset))


def _check_size(version: ModelVersion, criteria: Criteria) -> None:
    made = version.metadata.format
    if criteria.counted_size is CountedSize.TFLITE and made not in LITERT_SIZED:
        raise SizeUncounted(field="counted_size", version=version, label=format_label(made))


def _check_techniques(criteria: Criteria) -> None:
    """Requires that the techniques named by the member are available. Without a live worker, that is unknown and not
    checked.
    """
    off, paused = set(PipelineSettings.current().disabled_techniques), breakers.paused_techniques()
    installed = workers.libraries()
    allowed = [("allowed_techniques", name) for name in criteria.allowed_techniques or ()]
    required = [("required_techniques", name) for name in criteria.required_techniques]
    for field, name in (*allowed, *required):
        if name in off:
            raise TechniqueDisabled(field=field, technique=name)
        if name in paused:
            raise TechniquePaused(field=field, why=paused[name])
        if installed and (missing := missing_libraries(catalogue()[name], installed)):
            raise TechniqueUnavailable(field=field, technique=name, libraries=" and ".join(missing))


def _check_device(version: ModelVersion, device: Device) -> None:
    """Work for an accelerator has a queue of its own and would wait forever if no worker served it. One that does must
    have seen the model's runtime compute there. Without a live worker, nothing is known and nothing checked.
    """
    if device is not Device.CUDA or not (living := workers.alive()):
        return
    serving = workers.working_on(RUN_STEP_ON_GPU.queue, living)
    if not serving:
        raise AcceleratorUnavailable(field="target.device", device=device)
    framework = framework_of(version)
    obstacles = {worker.name: worker.acceleration.obstacle(framework) for worker in serving}
    if None not in obstacles.values():
        reasons = "; ".join(f"{name}: {obstacle}" for name, obstacle in obstacles.items())
        runtime = format_spec(version.metadata.format).runtime
        raise ProviderUnavailable(field="target.device", device=device, runtime=runtime, reasons=reasons)
