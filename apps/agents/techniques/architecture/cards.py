"""Score cards, as the steps of a search hand them to each other, and the trials and finalists that they tell of."""

from __future__ import annotations

from collections.abc import Sequence

from apps.agents.contracts.searching import TrialCard
from apps.agents.techniques.architecture.progress import Finalist, Score
from apps.agents.techniques.architecture.space import Space
from apps.agents.techniques.architecture.trials import Trial, finalists


def card_of(number: int, trial: Trial, space: Space, alone: Score | None = None) -> TrialCard:
    """The card of trial `number`; `alone` is how it scores after its own training."""
    return TrialCard(
        number=number,
        values=trial.values,
        network=space.named(trial.values),
        loss=trial.loss,
        accuracy=trial.accuracy,
        latency_ms=trial.latency_ms,
        parameters=trial.parameters,
        macs=trial.macs,
        alone_loss=alone.loss if alone else None,
        alone_accuracy=alone.accuracy if alone else None,
    )


def trials_of(cards: Sequence[TrialCard]) -> list[Trial]:
    return [
        Trial(one.values, one.loss, one.latency_ms, one.parameters, one.macs, one.accuracy)
        for one in sorted(cards, key=lambda one: one.number)
    ]


def finalists_of(cards: Sequence[TrialCard], limit_ms: float, count: int) -> list[Finalist]:
    """The finalists that were trained alone, the one with the lowest loss before that first."""
    trials, by_values = trials_of(cards), {one.values: one for one in cards}
    found = []
    for trial in finalists(trials, limit_ms, count):
        card = by_values[trial.values]
        if card.alone_loss is not None:
            alone = Score(card.alone_loss, card.alone_accuracy)
            shared = Score(trial.loss, trial.accuracy)
            found.append(Finalist(trials.index(trial) + 1, trial.values, shared, alone))
    return found
