"""Checks whether the data set belongs to the model, on the original, before anything else is tried.

Data can have the right shapes and still be wrong. A classifier must be right more often than a random permutation of
its own predictions would be: a binomial test against the agreement that follows from the margins alone, as in Cohen's
kappa (1960). A regressor must explain some of the variance of the labels. If it does not, usual mistakes are tried one
by one: another order of the classes, labels that start at another number, inputs on another scale.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy  # Its submodules load on first use: `stats` takes longer to load than most jobs.
from numpy.typing import NDArray

from apps.agents.analysis.input_changes import InputChange, input_changes
from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.errors.datasets import ModelAtChance
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.phrasing import number
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.text import ATTENTION_MASK
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.datasets.loading import ArrayDataset, Arrays, Dataset
from apps.agents.evaluation.batch_behaviour import SAME_DB, difference_db, output_axes
from apps.agents.evaluation.metrics.classification import class_scores, predicted
from apps.agents.evaluation.metrics.judged import judged
from apps.agents.measuring.engine import Run, fixed_batch, run_portions

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MEANINGLESS = "Check that the data set belongs to this model. Until then, its accuracy means nothing."
BATCH = 64
MOST_EXAMPLES = 512
MOST_CHANGED = 256
"""Examples on which each change of the inputs is tried."""
SHORTEST_S, LONGEST_S = 5.0, 20.0
SHARE_OF_BUDGET = 0.03
SIGNIFICANT = 0.01
"""The level of the tests: of a hundred data sets with random labels, one passes."""
BARELY = 0.15
"""A model that is not this far on the way from guessing to perfect gets a remark."""
POWER = 0.95
"""The least power with which a model halfway between guessing and perfect must be distinguished from guessing. With
less, nothing is concluded."""
CLEARLY_BETTER = 0.2
FEWEST_FOR_REGRESSION = 30
RELATED = 0.5
"""If a straight line through the outputs explains at least this share of the labels' variance, they are on another
scale."""


@dataclass(frozen=True)
class _Asked:
    """The original and the data set, with what is needed to run one on the other, within `deadline`."""

    run: Run
    dataset: Dataset
    output: int
    """The index of the output that the metrics read."""
    axes: tuple[int | None, ...]
    """The axis of the examples in each output."""
    batch: int | None
    """How many examples the model gets at once; `None` means all of a batch."""
    deadline: float

    def predictions(self, most: int, change: InputChange | None = None) -> tuple[Array, Array]:
        """The judged output and the labels of up to `most` examples, spread over the test part."""
        found: list[Array] = []
        truth: list[Array] = []
        for feeds, labels in _batches(self.dataset, most):
            changed = feeds if change is None else change.apply(feeds)
            output = run_portions(self.run, changed, self.batch, self.dataset.layout, self.axes)[self.output]
            assert output is not None  # Callers have checked that it has an entry for each example.
            found.append(judged(output, self.dataset.spec, feeds.get(ATTENTION_MASK)))
            truth.append(labels)
            if sum(map(len, truth)) >= most or time.monotonic() > self.deadline:
                break
        return np.concatenate(found), np.concatenate(truth)

    @property
    def scales_tried(self) -> str:
        """A clause for the case that none of `changes` explained the mismatch."""
        late = time.monotonic() > self.deadline
        return "there was no time to try all scales of the inputs" if late else "no usual scale of the inputs does"

    def changes(self) -> Iterator[InputChange]:
        """The possible mistakes in the inputs, until the deadline."""
        feeds, _ = next(_batches(self.dataset, BATCH))
        for change in input_changes(feeds):
            if time.monotonic() > self.deadline:
                return
            yield change


def _batches(dataset: Dataset, most: int) -> Iterator[tuple[Arrays, Array]]:
    found = dataset.sample(most, BATCH) if isinstance(dataset, ArrayDataset) else dataset.evaluation(BATCH)
    for feeds, labels in found:
        if isinstance(labels, np.ndarray):
            yield feeds, labels


def refuse_chance(
    run: Run, summary: ModelSummary, dataset: Dataset, criteria: Criteria, context: Context
) -> tuple[str, ...]:
    """What is suspicious about the original's predictions, in sentences; empty for tasks without classes or values.

    The judged output must have an entry for each example. Raises `ModelAtChance` if a mistake that can be named
    explains the predictions. If they are unrelated to the labels and nothing explains it, a sentence says so: a user
    who is interested only in size and speed may continue.
    """
    if dataset.spec.task not in (Task.CLASSIFICATION, Task.REGRESSION):
        return ()
    context.progress(0.03, "Checking whether the data set belongs to this model")
    asked = _asked(run, summary, dataset, criteria)
    output, labels = asked.predictions(MOST_EXAMPLES)
    if output.dtype.kind not in "fiub" or np.isnan(output.astype(np.float64)).any():
        return ()  # Names of classes, or values that the evaluation refuses with its own error.
    if dataset.spec.task is Task.REGRESSION:
        return _regression(asked, output, labels)
    return _classification(asked, output, labels.astype(np.int64))


def _asked(run: Run, summary: ModelSummary, dataset: Dataset, criteria: Criteria) -> _Asked:
    layout, fixed = dataset.layout, fixed_batch(summary.inputs, dataset.layout)
    read = summary.outputs.index(judged_output(summary.outputs, dataset.spec.output))
    feeds, _ = next(_batches(dataset, BATCH))
    axes = output_axes(run, feeds, layout, fixed, len(summary.outputs))
    batch, wanted = fixed, criteria.target.batch_size
    if fixed is None and layout.rows(feeds) > wanted:
        # If ranges are taken over a batch, only the target's batch shows the model's real predictions.
        both = (run_portions(run, feeds, size, layout, axes)[read] for size in (None, wanted))
        whole, apart = (np.zeros(0) if one is None else one for one in both)
        batch = wanted if difference_db(whole, apart) < SAME_DB else None
    budget_s = max(SHORTEST_S, min(LONGEST_S, criteria.budget.minutes * 60 * SHARE_OF_BUDGET))
    return _Asked(run, dataset, read, axes, batch, time.monotonic() + budget_s)


# --- classification ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Guess:
    """How often predictions are right, and how often a random permutation of them would be."""

    correct: int
    examples: int
    chance: float

    @property
    def share(self) -> float:
        return self.correct / self.examples

    @property
    def halfway(self) -> float:
        return (1 + self.chance) / 2

    def p_value(self) -> float:
        return float(scipy.stats.binom.sf(self.correct - 1, self.examples, self.chance))

    def could_tell(self) -> bool:
        """Whether there are enough examples to distinguish a model halfway to perfect from guessing."""
        needed = scipy.stats.binom.isf(SIGNIFICANT, self.examples, self.chance) + 1
        return bool(scipy.stats.binom.sf(needed - 1, self.examples, self.halfway) >= POWER)

    def much_better(self, other: _Guess, tries: float) -> bool:
        """Whether this guess, the best of exp(`tries`) attempts, is clearly better than `other`."""
        log_p = scipy.stats.binom.logsf(self.correct - 1, self.examples, self.chance)
        enough = max(other.halfway, other.share + CLEARLY_BETTER)
        return bool(self.share >= enough and log_p + tries < math.log(SIGNIFICANT))


def _guess(predictions: Ints, labels: Ints) -> _Guess:
    classes = np.union1d(predictions, labels)
    chance = sum(float(np.mean(predictions == one) * np.mean(labels == one)) for one in classes)
    return _Guess(int(np.sum(predictions == labels)), len(labels), chance)


def _classification(asked: _Asked, output: Array, labels: Ints) -> tuple[str, ...]:
    scores, predictions = class_scores(output), predicted(output)
    found = _guess(predictions, labels)
    if len(np.unique(labels)) < 2 or found.share >= found.halfway:
        return ()
    hint = _hint(asked, predictions, labels, max(scores.shape[1], int(labels.max()) + 1), found)
    right = f"right on {_percent(found.share)}"
    by_chance = f"its answers in random order would be right on {_percent(found.chance)}"
    if found.p_value() > SIGNIFICANT:
        if hint:
            raise ModelAtChance(examples=found.examples, found=right, chance=by_chance, hint=hint, field="dataset")
        if found.could_tell() and not _scores_know(scores, labels):
            hint = f"No other order of the classes explains it, and {asked.scales_tried}. {_MEANINGLESS}"
    elif not hint and found.share > found.chance + BARELY * (1 - found.chance):
        return ()
    hint = hint or "Check that the data set belongs to this model."
    return (f"On {found.examples:,} examples the model is {right}, and {by_chance}. {hint}",)


def _scores_know(scores: Floats, labels: Ints) -> bool:
    """Whether the right classes get higher scores than the others on average, even if not the highest."""
    if scores.shape[1] == 1:
        scores = np.concatenate([-scores, scores], 1)
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        return False
    finite = np.nan_to_num(scores, neginf=np.min(scores[np.isfinite(scores)], initial=0.0))
    centred = finite - finite.mean(0)
    shares = np.bincount(labels, minlength=scores.shape[1]) / len(labels)
    ahead = centred[np.arange(len(labels)), labels] - centred @ shares
    if not ahead.any():
        return False
    return bool(scipy.stats.ttest_1samp(ahead, 0, alternative="greater").pvalue < SIGNIFICANT)


def _hint(asked: _Asked, predictions: Ints, labels: Ints, classes: int, found: _Guess) -> str:
    """The mistake that explains most, in a sentence; empty if none does."""
    for shifted, what in ((labels - 1, "less"), (labels + 1, "more")):
        guess = _guess(predictions, shifted)
        if guess.much_better(found, math.log(2)):
            return f"With each label one {what} it would be right on {_percent(guess.share)}."
    order = _best_order(predictions, labels, classes) if predictions.min() >= 0 and labels.min() >= 0 else None
    if order is not None:
        guess = _guess(predictions, order[labels])
        if guess.much_better(found, math.lgamma(classes + 1)):
            return (
                f"With the classes in another order it would be right on {_percent(guess.share)}{_names(asked, order)}."
            )
    guesses = ((_changed_guess(asked, change), change.sentence) for change in asked.changes())
    tried = [(guess, sentence) for guess, sentence in guesses if guess is not None]
    if not tried:
        return ""
    guess, sentence = max(tried, key=lambda one: one[0].share)
    better = guess.much_better(found, math.log(len(tried)))
    return f"{sentence} it would be right on {_percent(guess.share)}." if better else ""


def _changed_guess(asked: _Asked, change: InputChange) -> _Guess | None:
    """The guess on changed inputs; `None` if the model cannot run on them, such as indices that are stored as
    floats."""
    try:
        output, labels = asked.predictions(MOST_CHANGED, change)
    except ModelRunFailed:
        return None
    return _guess(predicted(output), labels.astype(np.int64))


def _best_order(predictions: Ints, labels: Ints, classes: int) -> Ints:
    """For each label, the model's class in the assignment that makes most predictions right."""
    size = max(classes, int(predictions.max()) + 1)
    confusion = np.zeros((size, size))
    np.add.at(confusion, (labels, predictions), 1)
    _, columns = scipy.optimize.linear_sum_assignment(-confusion)
    return np.asarray(columns, dtype=np.int64)


def _names(asked: _Asked, order: Ints) -> str:
    """The classes in this order, as a member would enter them; empty if there are many."""
    if len(order) > 10:
        return ""
    names = asked.dataset.summary.classes or tuple(map(str, range(len(order))))
    meant = [names[label] if label < len(names) else str(label) for label in np.argsort(order)]
    return f": name the classes as {', '.join(meant)}"


def _percent(share: float) -> str:
    return f"{number(share * 100, 1)} %"


# --- regression -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """How well outputs explain labels, directly and along the best straight line."""

    r2: float
    correlation: float
    p_value: float
    slope: float
    intercept: float


def _line(output: Array, labels: Array) -> _Line | None:
    """The fit of outputs to labels; `None` if the shapes differ or all labels are equal."""
    truth = labels.reshape(len(labels), -1).astype(np.float64)
    values = output.reshape(len(output), -1).astype(np.float64)
    if truth.shape != values.shape or not np.isfinite(values).all() or np.ptp(truth) == 0:
        return None
    centred, apart = truth - truth.mean(0), values - values.mean(0)
    spread, moved = float((centred**2).sum()), float((apart**2).sum())
    if spread == 0:
        return None
    together = float((centred * apart).sum())
    correlation = together / math.sqrt(spread * moved) if moved > 0 else 0.0
    freedom = max(1, len(truth) - 2)
    t = abs(correlation) * math.sqrt(freedom / max(1e-12, 1 - correlation**2))
    slope = together / moved if moved > 0 else 0.0
    return _Line(
        r2=1 - float(((truth - values) ** 2).sum()) / spread,
        correlation=correlation,
        p_value=float(2 * scipy.stats.t.sf(t, freedom)),
        slope=slope,
        intercept=float(truth.mean() - slope * values.mean()),
    )


def _regression(asked: _Asked, output: Array, labels: Array) -> tuple[str, ...]:
    line = _line(output, labels)
    if line is None or line.r2 > 0:
        return ()
    found = f"worse than always answering the mean of the labels (R² {number(line.r2, 2)})"
    related = f"the correlation of its answers with the labels is {number(line.correlation, 2)}"
    hint = _regression_hint(asked, line)
    unrelated = line.p_value > SIGNIFICANT and len(labels) >= FEWEST_FOR_REGRESSION
    if hint:
        raise ModelAtChance(examples=len(labels), found=found, chance=related, hint=hint, field="dataset")
    if unrelated:
        unexplained = f"No straight line explains it, and {asked.scales_tried}. {_MEANINGLESS}"
        return (f"On {len(labels):,} examples the model is {found}, and {related}. {unexplained}",)
    return (f"On {len(labels):,} examples the model is {found}, and {related}. Check that the data fits it.",)


def _changed_line(asked: _Asked, change: InputChange) -> _Line | None:
    try:
        return _line(*asked.predictions(MOST_CHANGED, change))
    except ModelRunFailed:
        return None


def _regression_hint(asked: _Asked, line: _Line) -> str:
    tried = [(_changed_line(asked, change), change.sentence) for change in asked.changes()]
    known = [(changed.r2, sentence) for changed, sentence in tried if changed is not None]
    r2, sentence = max(known, default=(0.0, ""))
    if r2 >= RELATED:
        return f"{sentence} R² would be {number(r2, 2)}."
    if line.p_value <= SIGNIFICANT and line.correlation**2 >= RELATED:
        return (
            f"The labels are about {number(line.slope)} × the output + {number(line.intercept)}: they are on another "
            "scale than those with which the model was trained."
        )
    return ""
