"""Shared by the techniques on Keras 3 layers: kernels, recovery training, and the size of each form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from apps.agents.backends.tensorflow.engine import use_threads
from apps.agents.backends.tensorflow.kernels import kernels_of, sizes_of
from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.backends.tensorflow.saving import save_keras
from apps.agents.backends.tensorflow.technique import TensorFlowTechnique
from apps.agents.backends.tensorflow.training import recover
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.techniques.base import Applied, Assignment


class KerasTechnique(TensorFlowTechnique):
    """A technique on Keras 3 layers that reports its result's size in every form.

    `apply` of a subclass ends with `finished`. In between, `learn` trains the changed model.
    """

    _model: Any
    _learned_from: int = 0

    def keras(self, assignment: Assignment) -> Any:
        """The Keras model. Raises `TechniqueNotApplicable` for a model that only tf_keras reads."""
        use_threads(assignment.threads)
        return keras_of(assignment)

    def kernels(self, model: Any, assignment: Assignment) -> list[Any]:
        """The model's kernels as variables. Raises `TechniqueNotApplicable` if it has none."""
        found = [weight for _, weight in kernels_of(model)]
        if not found:
            reason = "none of its layers has a kernel of two axes or more"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        return found

    def learn(
        self,
        changed: Any,
        original: Any,
        assignment: Assignment,
        context: Context,
        hold: Callable[[], None] | None = None,
    ) -> None:
        """Train `changed` in place for `epochs` epochs at `learning_rate`. `hold` is called after each step."""
        context.progress(0.2, "learning again")
        self._learned_from = recover(changed, original, assignment, context, hold)

    @property
    def learned(self) -> str:
        """How it was trained, in words."""
        return f"trained again on {self._learned_from} examples" if self._learned_from else "not trained again"

    def finished(self, model: Any, assignment: Assignment, evidence: Mapping[str, Any]) -> Applied:
        """The artifact of a changed model, with evidence and the number of training examples."""
        self._model = model
        return Applied(save_keras(model, assignment.out), {**evidence, "learned_from_examples": self._learned_from})

    def sizes(self, assignment: Assignment, artifact: Path) -> dict[str, int]:
        return sizes_of(self._model, assignment, artifact)


def keras_of(assignment: Assignment) -> Any:
    """The Keras model. Raises `TechniqueNotApplicable` for a model that only tf_keras reads."""
    model = load_opened(open_model(assignment.model, assignment.scratch), assignment.signature)
    if not model.is_keras_3:
        reason = f"it works on Keras 3 layers, but only {model.reader} reads this file; save it again with Keras 3"
        raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
    return model.keras
