"""A session's rows as the `SessionState` that the manager decides on."""

from __future__ import annotations

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.experience import Learned
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.state import Earlier, SessionState, Status, StepKind, StepRecord, StepRequest
from apps.models import clock
from apps.optimization import breakers, memory, own_time, workers
from apps.optimization.durations import usual_s_beside
from apps.optimization.models import OptimizationSession, SessionStep, Worker


def session_state(session: OptimizationSession) -> SessionState:
    """The complete state of `session`, with its steps in the order in which they were requested."""
    living = workers.alive()
    steps = list(session.steps.select_related("artifact").order_by("pk"))
    earlier = _earlier(session)
    return SessionState(
        criteria=session.criteria,
        model=session.version.metadata.summary,
        student=session.student.metadata.summary if session.student else None,
        compared=session.compared.metadata.summary if session.compared else None,
        edits=session.edits,
        dataset=session.dataset.described,
        metric=DatasetSpec.model_validate(session.dataset.spec).primary_metric,
        seed=session.seed,
        steps=tuple(_record(step) for step in steps),
        worked_s=own_time.worked_s(steps, clock.now()) + (earlier.worked_s if earlier else 0.0),
        usual_s=usual_s_beside(session),
        parallelism=_parallelism(session, living),
        libraries=tuple(sorted({name for worker in living for name in worker.libraries})),
        disabled_techniques=breakers.left_out(),
        paused_techniques=breakers.paused_techniques(),
        learned=_learned(session, steps),
        earlier=earlier,
    )


def _learned(session: OptimizationSession, steps: list[SessionStep]) -> Learned:
    """What the history says, from the analysis on until the plan is requested, whose step keeps it."""
    planned = any(step.kind == StepKind.PLAN for step in steps)
    return Learned() if planned or not hasattr(session, "analysis") else memory.recalled_for(session)


def _earlier(session: OptimizationSession) -> Earlier | None:
    """What the session takes over from the one that it continues."""
    if session.earlier is None:
        return None
    known = Earlier.model_validate(session.earlier)
    return known.model_copy(update={"gone": session.continues_id is None})


def _parallelism(session: OptimizationSession, living: list[Worker]) -> int:
    """How many steps can run concurrently: the number of workers on the session's queue, at least one."""
    queue = "gpu" if session.criteria.target.device == "cuda" else "cpu"
    return max(1, len(workers.working_on(queue, living)))


def _record(step: SessionStep) -> StepRecord:
    return StepRecord(
        request=request_of(step),
        status=Status(step.status),
        result=step.result,
        error_code=step.error_code or None,
        error=step.error or None,
        fault=Fault(step.fault) if step.fault else None,
        duration_s=step.taken_from.get("duration_s") if step.taken_from else step.duration_s,
        quiet_wait_s=0.0 if step.taken_from else step.quiet_waited_s or 0.0,
        size_bytes=_size_bytes(step),
        taken=bool(step.taken_from),
    )


def _size_bytes(step: SessionStep) -> int | None:
    """Of what the step made, whether the file is still kept or not."""
    if step.artifact is not None:
        return step.artifact.size_bytes
    return step.result.get("size_bytes") if step.kind == StepKind.OPTIMIZE else None


def request_of(step: SessionStep) -> StepRequest:
    """The request that became this row."""
    return StepRequest(
        key=step.key,
        kind=StepKind(step.kind),
        queue=step.queue,
        reason=step.reason,
        candidate=step.candidate_key or None,
        technique=step.technique or None,
        parameters=step.parameters,
        parents=step.parents,
    )
