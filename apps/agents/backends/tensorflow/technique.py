"""What techniques for TensorFlow models share: the loaded model."""

from __future__ import annotations

from typing import Any

from apps.agents.backends.tensorflow.engine import use_threads
from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.errors import TechniqueNotApplicable
from apps.agents.optimization import Assignment, BaseOptimizationAgent


class TensorFlowTechnique(BaseOptimizationAgent):
    """One that starts from a model in memory."""

    def opened(self, assignment: Assignment) -> TensorFlowModel:
        """The assignment's model, loaded."""
        use_threads(assignment.threads)
        return load_opened(open_model(assignment.model, assignment.scratch), assignment.signature)


class KerasTechnique(TensorFlowTechnique):
    """One that works on the layers of Keras 3."""

    def keras(self, assignment: Assignment) -> Any:
        """The Keras model. Raises `TechniqueNotApplicable` for one that only tf_keras reads."""
        model = self.opened(assignment)
        if not model.is_keras_3:
            reason = (
                f"it works on layers of Keras 3, and only {model.reader} reads this file; save it anew with Keras 3"
            )
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        return model.keras
