"""The results of a training, for reports."""

from __future__ import annotations

from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.techniques.training.places import Places
from apps.agents.techniques.training.state import State


def effect_of(state: State, label: str) -> str:
    """The held-out loss before and after. Raises `TechniqueNoEffect` if it did not fall; `label` is the technique's."""
    if not state.best_step:
        reason = f"{state.step:,} steps of training left the held-out loss at {state.held_out_before:.4g}"
        raise TechniqueNoEffect(technique=label, reason=reason)
    return (
        f"After {state.best_step:,} steps the loss on held-out examples is {state.held_out_best:.4g} instead of "
        f"{state.held_out_before:.4g}."
    )


def evidence_of(state: State, examples: Places, device: str) -> dict[str, object]:
    """The numbers of a training as plain JSON."""
    return {
        "steps": state.step,
        "examples": len(examples.learned),
        "examples_held_out": len(examples.held_out),
        "passes": round(state.step / examples.batches_a_pass, 2),
        "seconds": round(state.spent_s, 1),
        "held_out_loss_before": state.held_out_before,
        "held_out_loss_after": state.held_out_best,
        "best_step": state.best_step,
        "training_loss": state.training_loss,
        "stopped_early": state.stopped_early,
        "device": device,
    }
