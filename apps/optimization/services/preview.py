"""The preview of a session: which techniques apply, and what would be tried. No worker is involved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import METRICS, DatasetSpec
from apps.agents.contracts.loss_limits import for_task
from apps.agents.contracts.plan_edits import PlanEdits
from apps.agents.contracts.reports.analysis import Compatibility
from apps.agents.contracts.state import Plan
from apps.agents.contracts.values import Value
from apps.agents.evaluation.decidability import Decidability
from apps.agents.evaluation.repeated_use import RepeatedUse
from apps.agents.planning.availability import obstacle_to
from apps.agents.planning.conflicts.values import Conflict, Precedence, Resolution
from apps.agents.planning.edit_checks import WrongEdit
from apps.agents.techniques.catalogue import (
    BrokenTechnique,
    TechniqueSpec,
    broken_techniques,
    catalogue,
    missing_libraries,
)
from apps.agents.techniques.compatibility import compatibility, in_reach
from apps.models.models import DataSet, ModelVersion
from apps.optimization import breakers, workers
from apps.optimization.memory import Recollection
from apps.optimization.models import PipelineSettings
from apps.optimization.services.conflicts import checked
from apps.optimization.services.edits import AnalysedLayers, layers_of, parse_edits, wrong_edits_of
from apps.optimization.services.foresight import use_of, what_is_decided
from apps.optimization.services.start import check, check_rows, plan_of, wanted_criteria
from apps.optimization.waiting import Wait, wait_of_another


class SessionPreview(Value):
    """Compatibility of every reachable technique, and the plan as far as it is known before the analysis.

    Techniques of an unreachable framework share one entry, named after the framework.
    """

    compatibility: tuple[Compatibility, ...]
    plan: Plan
    criteria: Criteria
    """The criteria as they would apply, with all resolutions."""
    conflicts: tuple[Conflict, ...] = ()
    """What conflicts in the criteria, and with model, data set, workers and earlier sessions, with resolutions."""
    applied: tuple[Resolution, ...] = ()
    """The resolutions that were applied to the request's criteria, in order."""
    contradictory: bool = False
    """Whether a session with these criteria is refused."""
    decidability: Decidability
    """What the data can decide about the limit on the loss."""
    use: RepeatedUse
    """How often the data has been used to judge before."""
    wrong_edits: tuple[WrongEdit, ...] = ()
    """For which edits of the plan a session would be refused. The plan is made without those."""
    layers: tuple[AnalysedLayers, ...] = ()
    """The layers of the model and of its exports, which may be kept in float; empty if it was never analysed."""
    higher_is_better: bool = True
    """Whether a higher value of the data set's primary metric is better. Predicted drops are of this metric."""
    waiting: Wait
    """The wait of the session if it were started now."""
    metric: str = ""
    """The data set's primary metric. Predicted drops of errors are in per cent of the original's value."""
    tried: int
    """How many candidates of the plan the budget allows."""
    minutes: float
    """What all steps take one after the other if so many are tried."""


class TechniqueStatus(Value):
    """The status of a technique on this installation."""

    spec: TechniqueSpec
    workers: tuple[str, ...]
    """The live workers that can run it."""
    missing: tuple[str, ...]
    """The libraries that no live worker has. Also empty if no worker is alive, because then nothing is known."""
    disabled: bool
    """Switched off by the operators."""
    paused: str = ""
    """Why it is paused, if it kept failing; otherwise empty."""


class BrokenHere(Value):
    """A technique that an installed package was to add and that cannot be used, and where that was found."""

    technique: BrokenTechnique
    places: tuple[str, ...]
    """`the portal`, and the names of live workers."""


def session_preview(
    version: ModelVersion,
    dataset: DataSet,
    criteria: Criteria | Mapping[str, Any],
    student: ModelVersion | None = None,
    resolutions: Sequence[str] = (),
    edits: PlanEdits | Mapping[str, Any] | None = None,
    precedence: Precedence | None = None,
) -> SessionPreview:
    """What a session with these inputs would try, and why it omits other techniques.

    `resolutions` are the ids of those to apply to the criteria first. Raises the errors of `check`,
    `UnknownResolution`, and `PlanEditsInvalid` for edits of a wrong form. Other wrong edits are listed. A contradiction
    is part of the preview, and an error only when a session is started.
    """
    chosen = parse_edits(edits)
    wanted = wanted_criteria(None, criteria)
    check_rows(version, dataset, student=student)
    recollection = Recollection(version, dataset)
    sound = checked(wanted, version, dataset, student, resolutions, precedence, recollection)
    wanted = sound.criteria
    check(version, dataset, wanted, student=student)
    taught = student.metadata.summary if student else None
    model, data = version.metadata.summary, dataset.described
    libraries = tuple(sorted(workers.libraries()))
    disabled, paused = breakers.left_out(), breakers.paused_techniques()
    reachable = [spec for spec in catalogue().values() if in_reach(spec, model)]
    beyond = [spec for spec in catalogue().values() if spec not in reachable]
    spec = DatasetSpec.model_validate(dataset.spec)
    held, metric = for_task(wanted, spec), spec.primary_metric
    known: dict[str, Any] = {"criteria": held, "model": model, "dataset": data, "student": taught}
    known |= {"libraries": libraries, "disabled": disabled}
    judged = [_compatibility(spec, paused.get(spec.name) or obstacle_to(spec, **known)) for spec in reachable]
    plan = plan_of(version, dataset, wanted, student, chosen, recollection)
    return SessionPreview(
        compatibility=(*judged, *compatibility(model, None, data, beyond)),
        plan=_said_once(plan, sound.conflicts),
        criteria=wanted,
        conflicts=sound.conflicts,
        applied=sound.applied,
        contradictory=sound.contradictory,
        decidability=what_is_decided(version, dataset, wanted),
        use=use_of(dataset, wanted),
        wrong_edits=tuple(wrong_edits_of(chosen, version, dataset, held, student)),
        layers=layers_of(version),
        higher_is_better=METRICS[metric].higher_is_better,
        metric=metric,
        **_within_budget(plan, wanted),
        waiting=wait_of_another(wanted.target.device),
    )


def _within_budget(plan: Plan, criteria: Criteria) -> dict[str, Any]:
    """How many candidates the budget allows, and what the session takes with them."""
    tried = min(len(plan.candidates), criteria.budget.candidates)
    return {"tried": tried, "minutes": round(plan.minutes(tried), 3)}


def _said_once(plan: Plan, conflicts: Sequence[Conflict]) -> Plan:
    """The plan whose summary does not repeat the nearest point that a conflict names already."""
    nearest = plan.nearest
    if nearest is None or not any(nearest.nearest_in_words in one.message for one in conflicts):
        return plan
    return plan.model_copy(update={"summary": plan.summary.replace(nearest.sentence, "").strip()})


def _compatibility(spec: TechniqueSpec, obstacle: str | None) -> Compatibility:
    return Compatibility(technique=spec.name, compatible=obstacle is None, reason=obstacle or spec.summary)


def technique_statuses() -> tuple[TechniqueStatus, ...]:
    """Every technique of the catalogue with the workers that can run it, or the missing libraries.

    Workers that take no steps of sessions run no technique, whatever is installed there.
    """
    living = [worker for worker in workers.alive() if worker.measures]
    disabled, paused = PipelineSettings.current().disabled_techniques, breakers.paused_techniques()
    anywhere = {name for worker in living for name in worker.libraries}
    return tuple(
        TechniqueStatus(
            spec=spec,
            workers=tuple(worker.name for worker in living if not missing_libraries(spec, worker.libraries)),
            missing=missing_libraries(spec, anywhere) if living else (),
            disabled=spec.name in disabled,
            paused=paused.get(spec.name, ""),
        )
        for spec in catalogue().values()
    )


def techniques_broken() -> tuple[BrokenHere, ...]:
    """What the portal and the live workers could not add to their catalogues, each reason once."""
    found: dict[BrokenTechnique, list[str]] = {one: [_("the portal")] for one in broken_techniques()}
    for worker in workers.alive():
        for one in worker.broken_techniques:
            found.setdefault(one, []).append(worker.name)
    return tuple(BrokenHere(technique=one, places=tuple(places)) for one, places in found.items())
