"""What a member can get wrong about models, data sets and techniques: codes and sentences, a module for each area.

All areas are imported here, so that the catalogue of errors is whole whichever of them is asked for first.
"""

from apps.agents.contracts.errors import (
    archives,
    datasets,
    distillation,
    evaluation,
    litert_models,
    models,
    packaging,
    running,
    steps,
    techniques,
    tensorflow_models,
    texts,
    torch_models,
    training,
)

__all__ = [
    "archives",
    "datasets",
    "distillation",
    "evaluation",
    "litert_models",
    "models",
    "packaging",
    "running",
    "steps",
    "techniques",
    "tensorflow_models",
    "texts",
    "torch_models",
    "training",
]
