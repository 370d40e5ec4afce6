"""The EvaluationAgent: runs original and candidate on the same examples and judges the results against the criteria."""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.errors.evaluation import OutputsDiffer
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import OriginalMemory
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.datasets.dataset_fit import check_against
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.answers import AnswerWatch
from apps.agents.evaluation.evaluating import Evaluation
from apps.agents.evaluation.pace import Pace
from apps.agents.evaluation.quality import Outputs, OutputsComparison, Question
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import Engine
from apps.agents.measuring.timer import InProcessTimer, Timer

BATCH = 64
"""Examples per batch, if the model's batch axis is dynamic."""


class EvaluationAgent:
    """Measures both models. Its only decision is the verdict on each constraint (`apps.agents.evaluation.verdicts`)."""

    def __init__(
        self,
        effort: Effort | None = None,
        *,
        batch: int = BATCH,
        clock: Callable[[], float] = time.monotonic,
        watch: AnswerWatch | None = None,
        pace: Pace | None = None,
    ) -> None:
        """`watch` sees all answers of both models. `pace`: that of the job, if it began before."""
        self._pace = pace
        self._watch = watch
        self._effort = effort or Effort()
        self._batch = batch
        self._clock = clock

    def evaluate(
        self,
        original: Engine,
        candidate: Engine,
        dataset: Dataset,
        criteria: Criteria,
        context: Context,
        *,
        machine: Machine,
        seed: int,
        keeps_parameters: bool = False,
        baseline: RuntimeBaseline | None = None,
        part: Part = Part.EVALUATION,
        finalists: int = 1,
        in_portions: bool = False,
        timer: Timer | None = None,
        again: Timer | None = None,
        original_memory: OriginalMemory | None = None,
        compressed_shares: tuple[float, float] | None = None,
        litert_bytes: tuple[int, int] | None = None,
    ) -> EvaluationReport:
        """Return the report on `candidate`. `dataset` is bound to the original's inputs; the candidate needs the same.

        Both models are measured on the examples of `part`. Several `finalists` share the probability of error, so every
        interval is wider. `in_portions`: a ranked candidate is dropped after a portion that rules it out.
        Its speed is checked against `baseline`, the float model in its runtime; its size, if it `keeps_parameters`.
        `timer` times both models, by default in this process; `again` repeats it if the speed-up is implausible.
        `original_memory`: the original's peak memory from the analysis, reused if it was measured alike.
        `compressed_shares` (what is left of either file when compressed), `litert_bytes`: needed if that size counts.
        Raises `OutputsDiffer`, `OutputsNotFinite`, `OutputUnfit`, `LabelsInvalid`, and errors from the runtime.
        """
        _check_interface(original, candidate, dataset)
        timer = timer or InProcessTimer(original, candidate, self._effort)
        evaluation = Evaluation(
            original,
            candidate,
            dataset.measured_on(part),
            len(dataset.evaluation_indices),
            Question(criteria, part, finalists, in_portions, several_outputs=len(original.summary.outputs) > 1),
            context,
            self._pace or Pace(context, self._clock),
            machine,
            seed,
            keeps_parameters,
            baseline,
            original_memory,
            compressed_shares,
            litert_bytes,
        )
        return evaluation.report(self._outputs(evaluation, evaluation.rest_s(timer)), timer, again or timer)

    def _outputs(self, evaluation: Evaluation, rest_s: float) -> Outputs:
        return OutputsComparison(
            evaluation.original,
            evaluation.candidate,
            evaluation.dataset,
            evaluation.question,
            evaluation.context,
            batch=self._batch,
            seed=evaluation.seed,
            pace=evaluation.pace,
            rest_s=rest_s,
            clock=self._clock,
            watch=self._watch,
        ).run()


def _check_interface(original: Engine, candidate: Engine, dataset: Dataset) -> None:
    """Raise `OutputsDiffer` unless the candidate has the original's inputs and outputs, by name and type, and what
    `check_against` raises unless the data set fills those inputs."""
    check_against(original.summary, dataset.summary, dataset.spec)
    for part in ("inputs", "outputs"):
        before, after = (
            [(spec.name, spec.dtype) for spec in getattr(engine.summary, part)] for engine in (original, candidate)
        )
        if before != after:
            sides = [", ".join(f"{name}: {dtype}" for name, dtype in side) for side in (after, before)]
            raise OutputsDiffer(reason=f"its {part} are {sides[0]} instead of {sides[1]}")
