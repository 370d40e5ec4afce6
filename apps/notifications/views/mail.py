"""The unsubscribe link of a mail. Whoever has the mail may use it, without a login."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from apps.notifications import kinds, mails, services
from apps.notifications.errors import UnsubscribeUnusable


@login_not_required
@never_cache
@csrf_exempt
@require_http_methods(["GET", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """A mail program posts here by itself (RFC 8058), so there is no form token. A GET only asks: mail scanners follow
    links.
    """
    try:
        channel, names = services.unsubscribe(token) if request.method == "POST" else mails.read_token(token)
    except UnsubscribeUnusable as error:
        return render(request, "notifications/unsubscribe.html", {"error": error}, status=error.status)
    context = {
        "channel": channel,
        "named": ", ".join(f"“{kinds.KINDS[name].label}”" for name in names),
        "done": request.method == "POST",
    }
    return render(request, "notifications/unsubscribe.html", context)
