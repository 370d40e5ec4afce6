"""Trains a model on a data set's training part, within its minutes. Training can be interrupted at any time.

A training that continues from a checkpoint gives the same weights as one that was never interrupted. If minutes are
given instead of steps, the first attempt measures the time of a step and plans the number of steps. If the machine
becomes slower or faster, the remaining steps are planned again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Generic

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.training import TrainingDiverged
from apps.agents.techniques.training import layout
from apps.agents.techniques.training.learner import Learner, Weights
from apps.agents.techniques.training.rate import rate_at
from apps.agents.techniques.training.state import State

WARM_STEPS, TIMED_STEPS = 2, 5
CHECKPOINT_EVERY_S = 20.0
TELL_EVERY_S = 1.0
TRAINING_LOSS, HELD_OUT_LOSS = "training loss", "held-out loss"
CHECKPOINT = "training"


@dataclass
class Trainer(Generic[Weights]):
    """One training of `learner`'s model, in place. Checkpoints are written to `scratch` first."""

    learner: Learner[Weights]
    context: Context
    scratch: Path
    label: str
    """The technique's label, for errors."""
    clock: Callable[[], float] = time.monotonic

    def run(self) -> State:
        """Train, and leave the model with the weights that were best on the held-out examples.

        Raises `TrainingDiverged` if the loss is infinite or not a number.
        """
        with self.learner.alone():
            return self._run()

    def _run(self) -> State:
        self._started = self._kept_at = self._told_at = self.clock()
        state, best = self._resumed() or self._begun()
        self._spent_before = state.spent_s
        self._started = self.clock()
        losses: list[float] = []
        self._untold: list[float] = []
        while not state.done:
            losses.append(self._step(state))
            self._untold.append(losses[-1])
            if state.step >= min(state.next_check, state.steps) or self._late():
                best = self._checked(state, best, losses)
                losses = []
            elif self.clock() - self._told_at >= TELL_EVERY_S:
                self._tell(state)
        state.spent_s = self._spent()
        self.learner.restore(best)
        self.learner.finish()
        return state

    # --- begin --------------------------------------------------------------------------------------------------------

    def _resumed(self) -> tuple[State, Weights] | None:
        """The state in the checkpoint of an earlier attempt, if there is one. The learner is set to it."""
        if (file := self.context.checkpoint) is None:
            return None
        state, best = self.learner.read(file)
        self.context.log(f"Training continues at step {state.step} of {state.steps}.")
        return state, best

    def _begun(self) -> tuple[State, Weights]:
        hyperparameters, best = self.learner.hyperparameters, self.learner.copied()
        before = self.clock()
        held_out = self.learner.check()
        check_s = self.clock() - before
        step_s = 0.0 if hyperparameters.steps else self._measured(best)
        planned = (
            layout.of_steps(hyperparameters.steps)
            if hyperparameters.steps
            else layout.of_time(60 * hyperparameters.minutes - (self.clock() - self._started), step_s, check_s)
        )
        state = State(planned.steps, planned.interval, next_check=planned.interval, step_s=step_s, check_s=check_s)
        state.held_out_before = state.held_out_best = held_out
        self.context.metric(HELD_OUT_LOSS, held_out, step=0)
        state.spent_s = self.clock() - self._started
        self.context.log(f"Training will take {state.steps:,} steps.")
        return state, best

    def _measured(self, weights: Weights) -> float:
        """Seconds per step. Afterwards the model has its `weights` again, and the optimizer is in its initial state."""
        for number in range(WARM_STEPS):
            self.learner.step(number, 0.0)
        before = self.clock()
        for number in range(TIMED_STEPS):
            self.learner.step(number, 0.0)
        taken = self.clock() - before
        self.learner.restore(weights)
        self.learner.forget()
        return max(taken / TIMED_STEPS, 1e-6)

    # --- on the way ---------------------------------------------------------------------------------------------------

    def _step(self, state: State) -> float:
        hyperparameters = self.learner.hyperparameters
        state.place += (1 - state.place) / (state.steps - state.step)
        loss = self.learner.step(
            state.step, rate_at(state.place, hyperparameters.learning_rate, hyperparameters.warmup)
        )
        state.step += 1
        if not isfinite(loss):
            raise TrainingDiverged(technique=self.label, step=state.step, rate=hyperparameters.learning_rate)
        return loss

    def _checked(self, state: State, best: Weights, losses: list[float]) -> Weights:
        """Compare with the best so far, report, plan the steps again if needed, and keep a checkpoint."""
        held_out = self.learner.check()
        state.checks += 1
        state.unimproved += 1
        if held_out < state.held_out_best:
            state.held_out_best, state.best_step, state.unimproved = held_out, state.step, 0
            best = self.learner.copied()
        state.training_loss = sum(losses) / len(losses)
        state.stopped_early = state.unimproved > self.learner.hyperparameters.patience
        state.out_of_time = self._late()
        before, state.spent_s = state.spent_s, self._spent()
        self._replan(state, (state.spent_s - before) / len(losses))
        state.next_check = state.step + state.interval
        self.context.metric(HELD_OUT_LOSS, held_out, step=state.step)
        self._tell(state)
        self._keep(state, best)
        return best

    def _replan(self, state: State, each_s: float) -> None:
        """Change the number of steps if the time would be missed. `each_s`: of a step, with its share of the checks."""
        hyperparameters = self.learner.hyperparameters
        if hyperparameters.steps or state.done:
            return
        budget_s = 60 * hyperparameters.minutes
        left_s, needed_s = budget_s - state.spent_s, each_s * (state.steps - state.step)
        if layout.misses(left_s, needed_s, budget_s):
            state.steps = state.step + max(1, int(left_s / each_s))
            self.context.log(
                f"A step takes {1000 * each_s:.0f} ms instead of {1000 * state.step_s:.0f}: {state.steps:,} steps fit."
            )
            state.step_s = each_s

    def _tell(self, state: State) -> None:
        """Report the mean loss of the steps since the last report, and the remaining time at this pace."""
        self._told_at, losses, self._untold = self.clock(), self._untold, []
        left_s = self._spent() / state.step * (state.steps - state.step)
        self.context.metric(TRAINING_LOSS, sum(losses) / len(losses), step=state.step)
        self.context.progress(
            state.step / state.steps, f"training, step {state.step:,} of {state.steps:,}", eta_s=left_s
        )

    def _keep(self, state: State, best: Weights) -> None:
        now = self.clock()
        if state.done or now - self._kept_at < CHECKPOINT_EVERY_S:
            return
        self._kept_at = now
        file = self.scratch / CHECKPOINT
        self.learner.write(file, state, best)
        self.context.keep_checkpoint(file)

    def _spent(self) -> float:
        return self._spent_before + self.clock() - self._started

    def _late(self) -> bool:
        hyperparameters = self.learner.hyperparameters
        return not hyperparameters.steps and self._spent() > layout.LATEST * 60 * hyperparameters.minutes
