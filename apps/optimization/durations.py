"""How long steps took lately, for estimates of what is left."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from uuid import UUID

from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import JUDGING, JUDGING_ALL, Status, StepKind
from apps.optimization.models import OptimizationSession, SessionStep

LATELY = 200
"""How many recently ended steps are looked at."""


def usual_s(session: OptimizationSession) -> dict[str, float]:
    """The median seconds of each kind of step in other sessions: of the same model and data where there are any.

    Of all that judged a finalist in one session, only sessions of the same model and data tell.
    """
    ended = SessionStep.objects.filter(
        status=Status.COMPLETED, started_at__isnull=False, finished_at__isnull=False, taken_from={}
    )
    same: dict[str, list[float]] = defaultdict(list)
    any_: dict[str, list[float]] = defaultdict(list)
    judged: dict[UUID, float] = defaultdict(float)
    columns = ("kind", "parameters__part", "started_at", "finished_at", "session__version", "session__dataset")
    for kind, part, begin, end, version, dataset, pk in (
        ended.exclude(session=session).order_by("-pk").values_list(*columns, "session")[:LATELY]
    ):
        name = JUDGING if kind == StepKind.EVALUATE and part == Part.EVALUATION else kind
        took_s = (end - begin).total_seconds()
        any_[name].append(took_s)
        if (version, dataset) == (session.version_id, session.dataset_id):
            same[name].append(took_s)
            judged[pk] += took_s if name == JUDGING else 0.0
    usual = {name: median(same.get(name, took)) for name, took in any_.items()}
    judgings_s = [took_s for took_s in judged.values() if took_s]
    return usual | ({JUDGING_ALL: median(judgings_s)} if judgings_s else {})
