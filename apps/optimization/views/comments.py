"""Views of comments on a session."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest
from apps.accounts.services import require_role
from apps.optimization import services
from apps.optimization.forms.comments import CommentForm
from apps.optimization.models import OptimizationSession, SessionComment
from apps.optimization.views.sessions import detail_page, visible_session


@require_POST
def write(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    form = CommentForm(request.POST)
    if not form.is_valid():
        return detail_page(request, session, comment_form=form, status=422)
    comment = services.comment_write(session, request.user, form.cleaned_data["text"])
    return _to(comment)


@require_http_methods(["GET", "POST"])
def edit(request: MemberRequest, pk: UUID, comment: int) -> HttpResponse:
    """A page of its own: a push to the session's page would take away what is being typed there."""
    row = _comment(request, pk, comment)
    form = CommentForm(request.POST if request.method == "POST" else None, initial={"text": row.text})
    services.require_own_comment(row, request.user)
    if form.is_valid():
        return _to(services.comment_edit(row, request.user, form.cleaned_data["text"]))
    context = {"session": row.session, "comment": row, "form": form}
    return render(request, "optimization/comment_edit.html", context, status=422 if form.is_bound else 200)


@require_POST
def delete(request: MemberRequest, pk: UUID, comment: int) -> HttpResponse:
    row = _comment(request, pk, comment)
    services.comment_delete(row, request.user)
    if request.htmx:
        return HttpResponse(status=204)  # the push takes it off the page
    return redirect(f"{row.session.get_absolute_url()}#session-comments")


def _comment(request: MemberRequest, pk: UUID, comment: int) -> SessionComment:
    session: OptimizationSession = visible_session(request, pk)
    return get_object_or_404(
        SessionComment.objects.select_related("session__version__model"), session=session, pk=comment
    )


def _to(comment: SessionComment) -> HttpResponse:
    return redirect(f"{comment.session.get_absolute_url()}#comment-{comment.pk}")
