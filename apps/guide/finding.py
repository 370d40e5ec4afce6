"""One search over everything that a member may open: pages, rows of their teams, and documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from django.urls import reverse
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.guide.documents import Document, documents
from apps.guide.markdown import ROW, Section
from apps.models.models import DataSet, RegisteredModel
from apps.optimization.filters import SessionFilter
from apps.optimization.models import CriteriaSet, OptimizationSession
from apps.texts import storable

PER_KIND = 6
LONGEST = 200
"""Characters of a search that count."""


@dataclass(frozen=True)
class Finding:
    title: str
    detail: str
    address: str


@dataclass(frozen=True)
class FoundKind:
    """Findings of one kind, the best first."""

    name: str
    findings: tuple[Finding, ...]


PAGES = (
    (_("Dashboard"), _("What runs and what needs you"), "optimization:dashboard"),
    (_("Sessions"), _("All sessions of the team"), "optimization:session-list"),
    (_("New session"), _("Make a model smaller or faster"), "optimization:session-new"),
    (_("Models"), _("All models of the team"), "models:model-list"),
    (_("Upload a model"), _("A new model, or a new version"), "models:model-upload"),
    (_("Data sets"), _("All data sets of the team"), "models:dataset-list"),
    (_("Upload a data set"), _("Examples to measure with"), "models:dataset-upload"),
    (_("Criteria"), _("Objectives and limits"), "optimization:criteria-list"),
    (_("New criteria"), _("An objective with limits of your own"), "optimization:criteria-new"),
    (_("Compare"), _("Sessions, candidates or versions side by side"), "optimization:compare"),
    (_("Predicted and measured"), _("How far the planner was off"), "optimization:predictions"),
    (_("Workers"), _("Queues, machines and devices"), "optimization:workers"),
    (_("Members"), _("Roles and invitations"), "accounts:team"),
    (_("Approvals"), _("Moves of protected aliases"), "models:approval-list"),
    (_("Service accounts"), _("Access for machines of the team"), "accounts:service-accounts"),
    (_("Logins"), _("Browsers that are logged in as you"), "accounts:logins"),
    (_("Audit trail"), _("Who did what, and when"), "optimization:audit"),
    (_("Storage"), _("Quota and retention"), "optimization:storage"),
    (_("Notifications"), _("What you are told, and where"), "notifications:settings"),
    (_("API tokens"), _("Access for programs"), "accounts:tokens"),
    (_("API reference"), _("Every route with its fields"), "api-docs"),
    (_("Language and time zone"), _("The language of pages, and the zone of all times"), "accounts:time-zone"),
    (_("Documentation"), _("All documents"), "guide:documents"),
)
OPERATORS_PAGES = (
    (_("Operations"), _("Queues, failed sessions, disks, the whole audit trail"), "operations:page"),
    (_("Admin"), _("Every row, and the settings of the installation"), "admin:index"),
)


def find(user: User, words: str) -> list[FoundKind]:
    """What contains all of `words`, by kind. Without words, the pages."""
    wanted = wanted_words(words)
    kinds = (pages_with(user, wanted), *(rows_with(user, wanted) if wanted else ()))
    return [kind for kind in kinds if kind.findings]


def wanted_words(words: str) -> list[str]:
    return storable(words[:LONGEST]).split()


def pages_with(user: User, wanted: list[str]) -> FoundKind:
    """The pages that `wanted` name, the first few; all of them if nothing is wanted."""
    return FoundKind(gettext("Pages"), tuple(islice(_pages(user, wanted), PER_KIND if wanted else None)))


def rows_with(user: User, wanted: list[str]) -> Iterator[FoundKind]:
    """Rows of the user's teams, and sections of the documentation, that contain all of `wanted`."""
    sources = (
        (gettext("Models"), _models(user, wanted)),
        (gettext("Data sets"), _datasets(user, wanted)),
        (gettext("Sessions"), _sessions(user, wanted)),
        (gettext("Criteria"), _criteria(user, wanted)),
        (gettext("Documentation"), _sections(wanted)),
    )
    for name, findings in sources:
        yield FoundKind(name, tuple(islice(findings, PER_KIND)))


def _pages(user: User, wanted: list[str]) -> Iterator[Finding]:
    for title, detail, name in (*PAGES, *(OPERATORS_PAGES if user.is_staff else ())):
        if has_all(f"{title} {detail}", wanted):
            yield Finding(str(title), str(detail), reverse(name))


def _models(user: User, wanted: list[str]) -> Iterator[Finding]:
    rows = RegisteredModel.objects.visible_to(user).search(" ".join(wanted)).select_related("team")
    for model in rows[:PER_KIND]:
        yield Finding(model.name, model.description or str(model.team), model.get_absolute_url())


def _datasets(user: User, wanted: list[str]) -> Iterator[Finding]:
    rows = DataSet.objects.visible_to(user).search(" ".join(wanted)).select_related("team")
    for dataset in rows[:PER_KIND]:
        yield Finding(dataset.name, dataset.description or str(dataset.team), dataset.get_absolute_url())


def _sessions(user: User, wanted: list[str]) -> Iterator[Finding]:
    visible = OptimizationSession.objects.visible_to(user).select_related("version__model", "dataset")
    rows = SessionFilter({"search": " ".join(wanted)}, queryset=visible).qs.order_by("-created_at")
    for session in rows[:PER_KIND]:
        began = f"{localtime(session.created_at):%Y-%m-%d}"
        detail = gettext("{status}, on {dataset}, started {began}")
        words = detail.format(status=session.get_status_display(), dataset=session.dataset, began=began)
        yield Finding(str(session.version), words, session.get_absolute_url())


def _criteria(user: User, wanted: list[str]) -> Iterator[Finding]:
    rows = CriteriaSet.objects.visible_to(user).current().select_related("team")
    for word in wanted:
        rows = rows.filter(name__icontains=word)
    for criteria in rows.order_by("name")[:PER_KIND]:
        yield Finding(criteria.name, str(criteria.team or gettext("Built in")), criteria.get_absolute_url())


def _sections(wanted: list[str]) -> Iterator[Finding]:
    """Sections whose title has the words come before those whose text has them."""
    everything = [(document, section) for document in documents().values() for section in document.sections]
    titled = [one for one in everything if has_all(one[1].title, wanted)]
    mentioned = [one for one in everything if one not in titled and has_all(_whole(*one), wanted)]
    for document, section in (*titled, *mentioned):
        inside = section.text if section.title == document.title or section.level == ROW else document.title
        yield Finding(section.title, inside[:120], f"{document.address}#{section.anchor}")


def _whole(document: Document, section: Section) -> str:
    return f"{document.title} {section.title} {section.text}"


def has_all(text: str, wanted: list[str]) -> bool:
    """Whether `text` contains each of the words, in any case."""
    lower = text.lower()
    return all(word.lower() in lower for word in wanted)
