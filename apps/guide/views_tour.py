"""The view that begins, continues and ends the tour."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from apps.accounts.requests import MemberRequest, current_team
from apps.guide import tour

HINT, CONTENT = "#tour", "#content"
"""What gets the focus on the next page."""


@require_POST
def move(request: MemberRequest) -> HttpResponse:
    """Begins the tour, goes on to its next stop, or ends it, as the button's `move` says."""
    current_team(request)
    asked = request.POST.get("move", "")
    if asked == "begin":
        return redirect(tour.begin(request.user) + HINT)
    if asked == "anew":
        return redirect(tour.begin_anew(request.user) + HINT)
    if asked == "next":
        address = tour.go_on(request.user)
        return redirect(address + (CONTENT if request.user.tour == tour.ENDED else HINT))
    if asked == "end":
        tour.end(request.user)
        messages.info(request, gettext("The tour has ended. “Take the tour” in the menu begins it again."))
    return redirect(_page(request) + CONTENT)


def _page(request: MemberRequest) -> str:
    """The page from which the button was pressed."""
    page = request.POST.get("page", "")
    return page if url_has_allowed_host_and_scheme(page, allowed_hosts=None) else "/"
