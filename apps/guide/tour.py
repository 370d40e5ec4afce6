"""The tour for the first session: one hint at a time, from the upload of a model to the report.

The server decides which hint a page shows, from the stop that is kept with the member and from what they have done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.agents.contracts.state import Status
from apps.models.models import DataSet, ModelVersion
from apps.optimization.models import CriteriaSet, OptimizationSession

ENDED = "ended"
OFFERED_ON = "optimization:dashboard"


@dataclass(frozen=True)
class Stop:
    """One step towards the report. It is left once `done` says so, or when the member goes on."""

    name: str
    title: Promise
    text: Promise
    page: str
    """The view where the step is taken."""
    targets: Mapping[str, str]
    """By view: the id of what the hint points at."""
    done: Callable[[Q], bool] = field(default=lambda mine: False)
    """Whether a member has taken the step, by a condition for their rows."""


STOPS = (
    Stop(
        "model",
        _("Upload a model"),
        _("Choose the file of your network. It is checked without being run, and becomes the first version."),
        "models:model-upload",
        {"models:model-upload": "id_file"},
        lambda mine: ModelVersion.objects.filter(mine).exists(),
    ),
    Stop(
        "dataset",
        _("Add a data set"),
        _("Choose examples on which the network is compared before and after, best with labels."),
        "models:dataset-upload",
        {"models:dataset-upload": "id_file"},
        lambda mine: DataSet.objects.filter(mine).exists(),
    ),
    Stop(
        "criteria",
        _("Say what matters"),
        _("Choose the model, the data set and criteria: what may be lost, how small, how fast. Built-in ones will do."),
        "optimization:session-new",
        {"optimization:session-new": "id_criteria_set"},
        lambda mine: CriteriaSet.objects.filter(mine).exists(),
    ),
    Stop(
        "start",
        _("Start the session"),
        _("The page shows what would be tried, before anything runs. Start it when it suits you."),
        "optimization:session-new",
        {"optimization:session-new": "session-start"},
        lambda mine: OptimizationSession.objects.filter(mine).exists(),
    ),
    Stop(
        "report",
        _("Read the report"),
        _("The session runs without you, and the bell rings when it ends. Its report says what is proven, and why."),
        "optimization:session-list",
        {"optimization:report": "report-verdict", "optimization:session-detail": "session-head"},
    ),
)
NAMES = tuple(stop.name for stop in STOPS)


@dataclass(frozen=True)
class Hint:
    """What one page shows of the tour."""

    stop: Stop | None
    """`None` for the offer of the tour."""
    number: int = 0
    target: str = ""
    """The id of what the hint points at; empty on a page where the step is not taken."""

    @property
    def last(self) -> bool:
        return self.number == len(STOPS)

    @property
    def of(self) -> int:
        return len(STOPS)

    @property
    def address(self) -> str:
        """Where the step is taken."""
        return reverse(self.stop.page) if self.stop else ""


def hint_for(user: User, view_name: str) -> Hint | None:
    """What the page shows to `user`: the present stop, the offer of the tour, or nothing."""
    if user.tour == ENDED:
        return None
    if not user.tour:
        return Hint(None) if view_name == OFFERED_ON and not _has_finished(user) else None
    number = _present(user)
    stop = STOPS[number]
    return Hint(stop, number + 1, stop.targets.get(view_name, ""))


def begin(user: User) -> str:
    """Begins the tour after what was done already. Returns the address of its first page."""
    _keep(user, tour=NAMES[0], tour_began_at=None)
    return reverse(STOPS[_present(user)].page)


def begin_anew(user: User) -> str:
    """Begins the tour at its first stop, whatever was done before. Returns the address of its page."""
    _keep(user, tour=NAMES[0], tour_began_at=timezone.now())
    return reverse(STOPS[0].page)


def go_on(user: User) -> str:
    """Leaves the present stop. Returns the address of the next one's page."""
    number = _present(user) + 1
    if number >= len(STOPS):
        return end(user)
    _keep(user, tour=NAMES[number])
    return reverse(STOPS[_present(user)].page)


def end(user: User) -> str:
    """Ends the tour. Returns the address of the dashboard."""
    _keep(user, tour=ENDED)
    return reverse(OFFERED_ON)


def _present(user: User) -> int:
    """The index of the stop after the last one that is done, and at least that of the kept one."""
    kept = NAMES.index(user.tour) if user.tour in NAMES else 0
    mine = Q(created_by=user)
    if user.tour_began_at is not None:
        mine &= Q(created_at__gte=user.tour_began_at)
    later = reversed(range(kept, len(STOPS) - 1))
    return next((number + 1 for number in later if STOPS[number].done(mine)), kept)


def _has_finished(user: User) -> bool:
    return OptimizationSession.objects.filter(created_by=user, status=Status.COMPLETED).exists()


def _keep(user: User, **changes: Any) -> None:
    User.objects.filter(pk=user.pk).update(**changes)
    for name, value in changes.items():
        setattr(user, name, value)
