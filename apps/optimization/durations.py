"""How long steps took lately, for estimates of what is left."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean, median
from uuid import UUID

from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import JUDGING, JUDGING_ALL, JUDGING_WAIT, Status, StepKind
from apps.optimization.models import OptimizationSession, SessionStep

LATELY = 200
"""How many recently ended steps are looked at."""
WAITS = 6
"""How many of them tell how long a judgement waits for a quiet machine: it changes from hour to hour."""


def usual_s_beside(session: OptimizationSession) -> dict[str, float]:
    """The same in other sessions than this one, for its model and data."""
    return usual_s(session.version_id, session.dataset_id, besides=session.pk)


def usual_s(version_id: int, dataset_id: int, besides: UUID | None = None) -> dict[str, float]:
    """The median seconds of each kind of step in sessions, without waiting for a quiet machine: of this model and data
    where there are any. Of all that judged a finalist in one session, only those tell. The session `besides` does not
    count.
    """
    ended = SessionStep.objects.filter(
        status=Status.COMPLETED, started_at__isnull=False, finished_at__isnull=False, taken_from={}
    ).exclude(session=besides)
    same: dict[str, list[float]] = defaultdict(list)
    any_: dict[str, list[float]] = defaultdict(list)
    judged: dict[UUID, float] = defaultdict(float)
    waits: list[float] = []
    columns = ("kind", "parameters__part", "started_at", "finished_at", "quiet_waited_s")
    of = ("session__version", "session__dataset", "session")
    rows = ended.order_by("-pk").values_list(*columns, *of)[:LATELY]
    for kind, part, begin, end, waited_s, version, dataset, pk in rows:
        name = JUDGING if kind == StepKind.EVALUATE and part == Part.EVALUATION else kind
        took_s = (end - begin).total_seconds() - (waited_s or 0.0)
        any_[name].append(took_s)
        if name == JUDGING and waited_s is not None:
            waits.append(waited_s)
        if (version, dataset) == (version_id, dataset_id):
            same[name].append(took_s)
            judged[pk] += took_s if name == JUDGING else 0.0
    usual = {name: median(same.get(name, took)) for name, took in any_.items()}
    if waits:
        usual[JUDGING_WAIT] = fmean(waits[:WAITS])
    if judgings_s := [took_s for took_s in judged.values() if took_s]:
        usual[JUDGING_ALL] = median(judgings_s)
    return usual
