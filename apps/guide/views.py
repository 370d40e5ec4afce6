"""Views of the documentation, and of the search over everything."""

from __future__ import annotations

from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.accounts.requests import MemberRequest
from apps.guide.documents import attachments, documents, topics
from apps.guide.finding import find


@require_safe
def search(request: MemberRequest) -> HttpResponse:
    """What a member can open by some words: a page, or for HTMX the options of the palette."""
    words = request.GET.get("search", "").strip()
    context = {"words": words, "kinds": find(request.user, words)}
    return render(request, "guide/_options.html" if request.htmx else "guide/find.html", context)


@require_safe
def listing(request: MemberRequest) -> HttpResponse:
    return render(request, "guide/documents.html", {"topics": topics()})


@require_safe
def document(request: MemberRequest, name: str) -> HttpResponse:
    found = documents().get(name)
    if found is None:
        raise Http404("There is no document of this name.")
    return render(request, "guide/document.html", {"document": found})


@require_safe
def file(request: MemberRequest, name: str) -> FileResponse:
    """A picture or a file that a document links to."""
    path = attachments().get(name)
    if path is None:
        raise Http404("There is no file of this name.")
    return FileResponse(path.open("rb"), filename=path.name)
