"""Views of the documentation, and of the search over everything."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.requests import MemberRequest
from apps.guide.actions import found_or_done
from apps.guide.documents import attachments, documents, topics


@require_safe
def search(request: MemberRequest) -> HttpResponse:
    """What a member can open or do by some words: a page, or for HTMX the options of the palette."""
    words = request.GET.get("search", "").strip()
    context = {"words": words, "kinds": found_or_done(request, words, _present_page(request))}
    return render(request, "guide/_options.html" if request.htmx else "guide/find.html", context)


def _present_page(request: MemberRequest) -> str:
    """The path of the page on which the palette is open, as htmx says it; empty without one."""
    try:
        return urlsplit(request.htmx.current_url or "").path
    except ValueError:  # whoever wrote that header was not htmx
        return ""


@require_safe
def listing(request: MemberRequest) -> HttpResponse:
    return render(request, "guide/documents.html", {"topics": topics()})


@require_safe
def document(request: MemberRequest, name: str) -> HttpResponse:
    found = documents().get(name)
    if found is None:
        raise Http404("There is no document of this name.")
    return render(request, "guide/document.html", {"document": found})


COLOURS = (
    ("paper", "behind cards"),
    ("surface", "cards"),
    ("sunken", "code, and what lies under the pointer"),
    ("ink", "text"),
    ("ink-soft", "text that qualifies other text"),
    ("line", "between cards"),
    ("line-strong", "around fields and buttons"),
    ("accent", "links, the place where one is, the next step"),
    ("ok", "proven"),
    ("warn", "not proven, or needs attention"),
    ("bad", "violated, failed"),
    ("info", "runs"),
    ("busy", "too busy to time"),
    ("void", "not comparable"),
)
TONES = (
    ("ok", "holds"),
    ("warn", "inconclusive"),
    ("bad", "violated"),
    ("info", "running"),
    ("accent", "production"),
    ("busy", "too busy"),
    ("void", "implausible"),
    ("muted", "skipped"),
)
NOTICES = (
    ("ok", "Something was done, or is proven."),
    ("warn", "Something is open, and what would decide it."),
    ("bad", "Something failed: what happened, where, and what to do."),
    ("busy", "The machine was too busy to measure."),
    ("void", "A result is too good to be true, and does not count."),
)
SHADES = range(1, 10)
"""Of a heat map, the palest first."""


@require_safe
def styleguide(request: MemberRequest) -> HttpResponse:
    """Every component in each state, for those who work on the portal."""
    if not request.user.is_staff:
        raise PermissionDenied(_("The style guide is for those who work on the portal. Ask an operator."))
    context = {"colours": COLOURS, "tones": TONES, "notices": NOTICES, "shades": SHADES}
    return render(request, "guide/styleguide.html", context)


@require_safe
def file(request: MemberRequest, name: str) -> FileResponse:
    """A picture or a file that a document links to."""
    path = attachments().get(name)
    if path is None:
        raise Http404("There is no file of this name.")
    return FileResponse(path.open("rb"), filename=path.name)
