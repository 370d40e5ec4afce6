"""Original and candidate on the examples of one part: metrics, fidelity, and when the evidence is clear."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import COUNTING, MEANS, DatasetKind, Metric, metric_by_group
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.metrics import (
    ClassComparison,
    GroupComparison,
    LabelledOutput,
    MetricComparison,
    OutputComparison,
)
from apps.agents.contracts.reports.selection import Level, PairedOutcomes
from apps.agents.contracts.text import ATTENTION_MASK
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.answers import AnswerWatch
from apps.agents.evaluation.fidelity import FidelityMeter, visible
from apps.agents.evaluation.groups import compare_groups
from apps.agents.evaluation.labelled_outputs import LabelledOutputs
from apps.agents.evaluation.measured import MetricMeasured
from apps.agents.evaluation.metrics import Scorer, compared, scorer_for
from apps.agents.evaluation.metrics.judged import judged
from apps.agents.evaluation.other_outputs import OtherOutputs
from apps.agents.evaluation.pace import Pace
from apps.agents.evaluation.paired_inference import Passing
from apps.agents.evaluation.selection_bias import packed
from apps.agents.evaluation.verdicts import judge_metric
from apps.agents.measuring.engine import Array, Engine
from apps.agents.measuring.statistics.certainty import chance_of_error, shared_confidence
from apps.agents.measuring.statistics.group_sequential import critical_values, shares_for
from apps.agents.measuring.statistics.intervals import confidence_of

PROGRESS_EVERY_S = 0.2
"""Minimum seconds between progress messages. Batches of one example would otherwise flood the log."""


@dataclass(frozen=True)
class Outputs:
    """The results of running the examples."""

    metrics: tuple[MetricComparison, ...]
    """The primary metric first."""
    levels: tuple[Level, ...]
    scorer: Scorer
    fidelity: FidelityMeter
    outcomes: PairedOutcomes | None
    examples: int
    """Number of examples used."""
    examples_of_part: int
    seconds: float
    notes: tuple[str, ...]
    looks: tuple[int, ...] = ()
    """How many examples had been used at each look; empty if all were used at once."""
    groups: tuple[GroupComparison, ...] = ()
    group_metric: Metric | None = None
    """The metric that `groups` compares."""
    other_outputs: tuple[OutputComparison, ...] = ()
    labelled_outputs: tuple[LabelledOutput, ...] = ()
    classes: tuple[ClassComparison, ...] = ()


@dataclass(frozen=True)
class Question:
    """What the examples decide: the member's criteria, and how many finalists share the probability of error."""

    criteria: Criteria
    part: Part = Part.EVALUATION
    finalists: int = 1
    in_portions: bool = False
    """Whether a candidate that is only ranked is dropped as soon as it breaks a limit."""
    several_outputs: bool = False
    """Whether the model has outputs other than the judged one."""

    @property
    def shared_confidence(self) -> float:
        """The confidence of every interval: the member's, or higher if there are several finalists."""
        return shared_confidence(self.criteria.confidence, self.finalists)

    @property
    def ends_early(self) -> bool:
        """Whether clear evidence on the metric ends the run."""
        return self.criteria.constraints.decided_early(several_outputs=self.several_outputs)

    @property
    def sharing(self) -> tuple[int, ...]:
        """How many finalists share the probability of error at each step of Holm's method, used only for finalists."""
        return tuple(range(self.finalists, 0, -1)) if self.part is Part.EVALUATION else (1,)

    def shares(self, examples: int) -> tuple[float, ...]:
        """After which shares of the `examples` to look."""
        looked_at = self.part is Part.EVALUATION or self.in_portions
        return shares_for(examples) if looked_at and self.ends_early else (1.0,)

    def decided(self, statuses: set[Holds]) -> bool:
        """Whether these verdicts at a look end the run. A candidate that is only ranked goes on while it may hold every
        limit, because its rank needs all examples."""
        held = self.part is Part.EVALUATION and statuses == {Holds.HOLDS}
        return Holds.VIOLATED in statuses or held

    def confidence(self, look: int, shares: Sequence[float], sharing: int) -> float:
        """Confidence of a two-sided interval at that look. Each side uses its part of the probability of error."""
        alone = shared_confidence(self.criteria.confidence, sharing)
        if len(shares) == 1:
            return alone
        return confidence_of(critical_values(chance_of_error(alone), tuple(shares))[look])


class OutputsComparison:
    """Runs every example of a part through both models. Both receive each batch at the same time.

    With many test examples, growing portions are used until the evidence decides the limits on the metric. Of many
    validation examples, they are used if the question asks for it, until the evidence rules the candidate out.
    """

    def __init__(
        self,
        original: Engine,
        candidate: Engine,
        dataset: Dataset,
        question: Question,
        context: Context,
        *,
        batch: int,
        seed: int,
        pace: Pace | None = None,
        rest_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        watch: AnswerWatch | None = None,
    ) -> None:
        """`dataset` has the part as its test part. `rest_s`: seconds the job needs afterwards. `watch` sees all answers
        of both models. `pace` is that of the job."""
        self._dataset, self._question, self._context = dataset, question, context
        self._outputs, self._seed = original.summary.outputs, seed
        self._passing = Passing.of((original, candidate), dataset, question.criteria.target, batch)
        self._meter = FidelityMeter([output.name for output in self._outputs])
        self._others = OtherOutputs(self._outputs, self._passing.read)
        self._labelled = LabelledOutputs(dataset, self._outputs, self._passing.axes)
        self._scorer: Scorer | None = None
        self._groups: list[Array] = []
        self._watch = watch
        self._pace, self._rest_s, self._clock = pace or Pace(context, clock), rest_s, clock
        self._rows = dataset.evaluation_rows
        self._done, self._start, self._told_at = 0, clock(), 0.0

    def run(self) -> Outputs:
        """Raises `OutputsDiffer`, `OutputsNotFinite`, `OutputUnfit`, `LabelsInvalid`, and errors from the runtime."""
        part = self._dataset
        total = self._total
        shares = self._question.shares(total)
        looks: list[int] = []
        used = 0
        for portion in part.portions(shares) if len(shares) > 1 else (part,):
            self._pass(portion)
            if (groups := portion.groups_of(portion.evaluation_indices)) is not None:
                self._groups.append(groups)
            used += len(portion.evaluation_indices)
            looks.append(used)
            if not self._can_look:
                shares = (1.0,)
            elif used < total and self._clear(len(looks) - 1, shares, used):
                break
        return self._found(tuple(looks), shares, total)

    @property
    def _total(self) -> int:
        """Number of examples of the part."""
        return len(self._dataset.evaluation_indices)

    @property
    def scorer(self) -> Scorer:
        assert self._scorer is not None  # `check_against` ensures that the data set has test examples.
        return self._scorer

    # --- running ------------------------------------------------------------------------------------------------------

    def _pass(self, portion: Dataset) -> None:
        spec, own, done = portion.spec, portion.output_labels(portion.evaluation_indices), 0
        if self._watch is not None:
            self._watch.note_examples(portion.evaluation_order(self._passing.batch))
        for feeds, labels in portion.evaluation(self._passing.batch):
            both = self._passing.outputs(feeds)
            self._meter.add(*(visible(outputs_of, self._outputs, feeds) for outputs_of in both))
            mask = feeds.get(ATTENTION_MASK)
            self._others.add(both[0], both[1], mask)
            first, second = (judged(self._passing.judged(outputs_of), spec, mask) for outputs_of in both)
            tokens = mask is not None and first.ndim == 3 and first.shape[:2] == mask.shape
            classes = portion.summary.classes
            self._scorer = self._scorer or scorer_for(
                spec, first.shape, classes, tokens=tokens, limited=self._question.criteria.constraints.metric_limits
            )
            self._scorer.add(first, second, labels)
            if self._watch is not None:
                self._watch.add(spec, first, second, labels)
            if own:
                rows = portion.layout.rows(feeds)
                self._labelled.add(both[0], both[1], {name: array[done : done + rows] for name, array in own.items()})
                done += rows
            self._done += len(first)
            self._report_progress()

    def _report_progress(self) -> None:
        spent_s, rows, total = self._clock() - self._start, self._rows, self._total
        if spent_s < self._told_at + PROGRESS_EVERY_S and self._done < rows:
            return
        self._told_at = spent_s
        self._pace.reached(
            f"Compared {total * self._done // rows:,} of {total:,} examples",
            spent_s * (rows - self._done) / self._done + self._rest_s,
        )

    # --- deciding -----------------------------------------------------------------------------------------------------

    @property
    def _can_look(self) -> bool:
        """Whether the primary metric has an interval for a look: an exact one or, where a candidate is only ranked,
        that of a mean."""
        return self._look(self._question.criteria.confidence) is not None

    def _look(self, confidence: float) -> MetricComparison | None:
        """The primary metric as it is compared at a look, at any confidence; `None` if it cannot be."""
        found = self.scorer.share(self._metric, confidence)
        if found is None and self._question.part is Part.CHOOSING and self._metric in COUNTING | MEANS:
            found = self.scorer.mean(self._metric, confidence)
        return found and found.model_copy(update={"unit": self._dataset.spec.unit_of(self._metric)})

    @property
    def _metric(self) -> Metric:
        return self._dataset.spec.primary_metric

    def _clear(self, look: int, shares: Sequence[float], used: int) -> bool:
        """Whether the evidence ends the run now, whatever the remaining examples show."""
        primary = self._look(self._question.confidence(look, shares, self._question.finalists))
        assert primary is not None, "otherwise there is no look"
        limits, confidence = self._question.criteria.constraints, self._question.shared_confidence
        statuses = {verdict.status for verdict in judge_metric(limits, MetricMeasured(primary, used, confidence))}
        return self._question.decided(statuses)

    def _found(self, looks: tuple[int, ...], shares: Sequence[float], total: int) -> Outputs:
        question, used, look = self._question, looks[-1], min(len(looks), len(shares)) - 1
        confidences = [question.confidence(look, shares, sharing) for sharing in question.sharing]
        compared_at, labelled_at = map(self._compared, confidences), map(self._labelled_at, confidences)
        found = list(zip(compared_at, labelled_at, strict=True))
        levels = tuple(map(self._level, question.sharing, found, repeat(used)))
        metrics, labelled = found[0]
        losses = self.scorer.losses(Metric(metrics[0].metric))
        by_group, groups = self._by_group(Metric(metrics[0].metric))
        self._context.metric("metric_drop", metrics[0].drop.value)
        return Outputs(
            metrics=metrics,
            levels=levels if question.part is Part.EVALUATION else (),
            scorer=self.scorer,
            fidelity=self._meter,
            outcomes=None if losses is None else packed(losses, self._order),
            examples=used,
            examples_of_part=total,
            seconds=self._clock() - self._start,
            notes=(
                *self._passing.compare_whole(self._meter, self._dataset),
                *self._unlimited(),
                *_ended_early(used, total),
            ),
            looks=looks if len(shares) > 1 else (),
            groups=groups,
            group_metric=by_group if groups else None,
            other_outputs=self._others.compared(question.shared_confidence, self._seed),
            labelled_outputs=labelled,
            classes=self.scorer.classes(question.shared_confidence, identical=self._meter.identical),
        )

    def _unlimited(self) -> tuple[str, ...]:
        limited = self._question.criteria.constraints.max_output_deviation is not None
        return self._others.not_compared() if limited else ()

    def _by_group(self, primary: Metric) -> tuple[Metric | None, tuple[GroupComparison, ...]]:
        """The metric compared by group, and the loss of each group; empty for a data set without groups."""
        by_group = metric_by_group(self._dataset.spec.task, primary)
        names = np.concatenate(self._groups) if self._groups else None
        confidence, same = self._question.shared_confidence, self._meter.identical
        return by_group, compare_groups(names, self.scorer, by_group, confidence, self._seed, identical=same)

    def _compared(self, confidence: float) -> tuple[MetricComparison, ...]:
        """All metrics, the primary one first. Where a look ended the run, that is compared as the look compared it."""
        found = compared(self.scorer, self._dataset.spec, confidence, self._seed, identical=self._meter.identical)
        looked = self._look(confidence) if self._done < self._rows else None
        return found if looked is None else (looked, *found[1:])

    def _labelled_at(self, confidence: float) -> tuple[LabelledOutput, ...]:
        return self._labelled.compared(confidence, self._seed, identical=self._meter.identical)

    def _level(
        self, sharing: int, found: tuple[tuple[MetricComparison, ...], tuple[LabelledOutput, ...]], used: int
    ) -> Level:
        question, (metrics, labelled) = self._question, found
        confidence = shared_confidence(question.criteria.confidence, sharing)
        measured = MetricMeasured(metrics[0], used, confidence, metrics=metrics, labelled=labelled)
        verdicts = judge_metric(question.criteria.constraints, measured)
        return Level(sharing=sharing, confidence=confidence, drop=metrics[0].drop, constraints=verdicts)

    @property
    def _order(self) -> str:
        """Texts are batched by length, so their order depends on the batch size. Validation examples that come in
        portions have another order than those that do not."""
        batches = f"batches of {self._passing.batch}" if self._dataset.spec.kind is DatasetKind.TEXT else ""
        ranked = self._question.part is Part.CHOOSING and len(self._question.shares(self._total)) > 1
        return " ".join(filter(None, (batches, "in portions" if ranked else "")))


def _ended_early(used: int, total: int) -> tuple[str, ...]:
    if used == total:
        return ()
    return (f"The evidence was clear after {used:,} of {total:,} examples; the interval allows for the looks.",)
