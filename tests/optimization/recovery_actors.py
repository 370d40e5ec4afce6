"""What the workers of the recovery tests load: the product's actors, over the small handlers of the tests."""

import os

from apps.agents.contracts.state import StepKind
from apps.models import inspection
from apps.models.actors import inspect_version
from apps.optimization import jobs
from apps.optimization.actors import advance, run_step, run_step_on_gpu
from tests.optimization import handlers

jobs.HANDLERS.update(handlers.TABLE)
for kind in StepKind:
    if replacement := os.environ.get(f"LATHE_TEST_{kind.name}"):
        jobs.HANDLERS[kind] = replacement
inspection.INSPECT_MODEL = "tests.optimization.handlers:inspect"

__all__ = ["advance", "inspect_version", "run_step", "run_step_on_gpu"]
