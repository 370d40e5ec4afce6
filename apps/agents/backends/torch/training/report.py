"""What a training leaves in a result."""

from __future__ import annotations

from apps.agents.backends.torch.training.examples import Examples
from apps.agents.backends.torch.training.state import State


def evidence_of(state: State, examples: Examples, device: str) -> dict[str, object]:
    """Steps, examples, seconds and losses as plain JSON."""
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
