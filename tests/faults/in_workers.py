"""What workers of these tests load after the product's actors: small handlers, and a clock that may be wrong.

No test may import it: it changes the process that loads it.
"""

import os
import time
from datetime import timedelta

from django.utils import timezone

from apps.agents.contracts.state import StepKind
from apps.models import inspection
from apps.optimization import jobs
from tests.faults.variables import AHEAD
from tests.optimization import handlers

jobs.HANDLERS.update({**handlers.TABLE, StepKind.OPTIMIZE: "tests.faults.handlers:optimize"})
inspection.INSPECT_MODEL = "tests.optimization.handlers:inspect"


def _put_ahead(seconds: float) -> None:
    """All that the worker itself reads: Django's time, and Python's, by which Dramatiq delays messages."""
    now, stamp = timezone.now, time.time
    timezone.now = lambda: now() + timedelta(seconds=seconds)
    time.time = lambda: stamp() + seconds


if ahead := os.environ.get(AHEAD):
    _put_ahead(float(ahead))
