"""Views of one's own account."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST
from django.views.i18n import set_language

from apps.accounts import services
from apps.accounts.forms import DisplayForm, show_error
from apps.accounts.models import User
from apps.accounts.requests import MemberRequest
from apps.errors import UserError
from apps.languages import language_of
from apps.zones import zone_of, zones


@require_http_methods(["GET", "POST"])
def time_zone(request: MemberRequest) -> HttpResponse:
    """The language of the member's pages, and the zone in which they see times."""
    user = request.user
    initial = {"language": language_of(user), "time_zone": zone_of(user).key}
    form = DisplayForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.choose_time_zone(user, form.cleaned_data["time_zone"])
            services.choose_language(user, form.cleaned_data["language"] or language_of(user))
        except UserError as error:
            show_error(form, error)
        else:
            with translation.override(user.language):
                messages.success(request, _("Times are shown in {zone}.").format(zone=user.time_zone))
            return redirect("accounts:time-zone")
    context = {"form": form, "time_zones": zones()}
    return render(request, "accounts/time_zone.html", context, status=422 if form.errors else 200)


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Shows pages in another language, from the same page on: to a visitor in this browser, to a member everywhere.

    Raises `LanguageUnknown` for a member.
    """
    if isinstance(request.user, User):
        services.choose_language(request.user, request.POST.get("language", ""))
    return set_language(request)


def address_is_fixed(request: HttpRequest) -> HttpResponse:
    """Replaces allauth's page, which lets a user without a verified address take any address. The audit trail and
    invitations identify people by their address.
    """
    raise PermissionDenied(_("Only an operator can change an e-mail address, in the admin."))
