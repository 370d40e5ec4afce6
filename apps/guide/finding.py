"""One search over everything that a member may open: pages, rows of their teams, and documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from django.urls import reverse

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
    ("Dashboard", "What runs and what needs you", "optimization:dashboard"),
    ("Sessions", "All sessions of the team", "optimization:session-list"),
    ("New session", "Make a model smaller or faster", "optimization:session-new"),
    ("Models", "All models of the team", "models:model-list"),
    ("Upload a model", "A new model, or a new version", "models:model-upload"),
    ("Data sets", "All data sets of the team", "models:dataset-list"),
    ("Upload a data set", "Examples to measure with", "models:dataset-upload"),
    ("Criteria", "Objectives and limits", "optimization:criteria-list"),
    ("New criteria", "An objective with limits of your own", "optimization:criteria-new"),
    ("Compare", "Sessions, candidates or versions side by side", "optimization:compare"),
    ("Predicted and measured", "How far the planner was off", "optimization:predictions"),
    ("Workers", "Queues, machines and devices", "optimization:workers"),
    ("Members", "Roles and invitations", "accounts:team"),
    ("Approvals", "Moves of protected aliases", "models:approval-list"),
    ("Service accounts", "Access for machines of the team", "accounts:service-accounts"),
    ("Logins", "Browsers that are logged in as you", "accounts:logins"),
    ("Audit trail", "Who did what, and when", "optimization:audit"),
    ("Storage", "Quota and retention", "optimization:storage"),
    ("Notifications", "What you are told, and where", "notifications:settings"),
    ("API tokens", "Access for programs", "accounts:tokens"),
    ("API reference", "Every route with its fields", "api-docs"),
    ("Time zone", "The zone of all times", "accounts:time-zone"),
    ("Documentation", "All documents", "guide:documents"),
)
OPERATORS_PAGES = (
    ("Operations", "Queues, failed sessions, disks, the whole audit trail", "operations:page"),
    ("Admin", "Every row, and the settings of the installation", "admin:index"),
)


def find(user: User, words: str) -> list[FoundKind]:
    """What contains all of `words`, by kind. Without words, the pages."""
    wanted = storable(words[:LONGEST]).split()
    if not wanted:
        return [FoundKind("Pages", tuple(_pages(user, [])))]
    sources = (
        ("Pages", _pages(user, wanted)),
        ("Models", _models(user, wanted)),
        ("Data sets", _datasets(user, wanted)),
        ("Sessions", _sessions(user, wanted)),
        ("Criteria", _criteria(user, wanted)),
        ("Documentation", _sections(wanted)),
    )
    found = (FoundKind(name, tuple(islice(findings, PER_KIND))) for name, findings in sources)
    return [kind for kind in found if kind.findings]


def _pages(user: User, wanted: list[str]) -> Iterator[Finding]:
    for title, detail, name in (*PAGES, *(OPERATORS_PAGES if user.is_staff else ())):
        if _has(f"{title} {detail}", wanted):
            yield Finding(title, detail, reverse(name))


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
        began = f"{session.created_at:%Y-%m-%d}"
        detail = f"{session.get_status_display()}, on {session.dataset}, started {began}"
        yield Finding(str(session.version), detail, session.get_absolute_url())


def _criteria(user: User, wanted: list[str]) -> Iterator[Finding]:
    rows = CriteriaSet.objects.visible_to(user).current().select_related("team")
    for word in wanted:
        rows = rows.filter(name__icontains=word)
    for criteria in rows.order_by("name")[:PER_KIND]:
        yield Finding(criteria.name, str(criteria.team or "Built in"), criteria.get_absolute_url())


def _sections(wanted: list[str]) -> Iterator[Finding]:
    """Sections whose title has the words come before those whose text has them."""
    everything = [(document, section) for document in documents().values() for section in document.sections]
    titled = [one for one in everything if _has(one[1].title, wanted)]
    told = [one for one in everything if one not in titled and _has(_whole(*one), wanted)]
    for document, section in (*titled, *told):
        inside = section.text if section.title == document.title or section.level == ROW else document.title
        yield Finding(section.title, inside[:120], f"{document.address}#{section.anchor}")


def _whole(document: Document, section: Section) -> str:
    return f"{document.title} {section.title} {section.text}"


def _has(text: str, wanted: list[str]) -> bool:
    lower = text.lower()
    return all(word.lower() in lower for word in wanted)
