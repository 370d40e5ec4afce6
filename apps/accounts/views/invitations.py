"""Views behind the link of an invitation: join as who one is, or register."""

from __future__ import annotations

from typing import cast

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.accounts import services
from apps.accounts.errors import InvitationUnusable
from apps.accounts.forms import InvitedAccountForm
from apps.accounts.middleware import SESSION_KEY
from apps.accounts.models import Invitation, User
from apps.accounts.requests import MemberRequest
from apps.errors import UserError


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def accept_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind an invitation's link: existing users join with one click, and new users create an account."""
    try:
        invitation = services.invitation_by_token(token)
    except InvitationUnusable as error:
        return render(request, "accounts/invitation_unusable.html", {"error": error}, status=error.status)
    if request.user.is_authenticated:
        return _join(cast(MemberRequest, request), token, invitation)
    if User.objects.filter(email=invitation.email).exists():
        return redirect_to_login(request.get_full_path())
    return _register(request, token, invitation)


def _join(request: MemberRequest, token: str, invitation: Invitation) -> HttpResponse:
    context = {"invitation": invitation}
    if request.method == "POST":
        try:
            member = services.accept_invitation(token, request.user)
        except UserError as error:
            return render(request, "accounts/invitation_join.html", {**context, "error": error}, status=error.status)
        request.session[SESSION_KEY] = member.team_id
        return redirect("optimization:dashboard")
    return render(request, "accounts/invitation_join.html", context)


def _register(request: HttpRequest, token: str, invitation: Invitation) -> HttpResponse:
    form = InvitedAccountForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        answers = {name: form.cleaned_data[name] for name in ("password", "first_name", "last_name")}
        user = services.register_by_invitation(token, **answers)
        login(request, user, backend="apps.accounts.authentication.PasswordBackend")
        return redirect("optimization:dashboard")
    status = 422 if form.is_bound else 200
    return render(request, "accounts/invitation_register.html", {"invitation": invitation, "form": form}, status=status)
