"""The log of deliveries, and sending one again."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts.bulk_pages import bulk_page
from apps.accounts.requests import MemberRequest
from apps.listings import ORDERING, in_order
from apps.notifications import services
from apps.notifications.bulk import DELIVERY_ACTS
from apps.notifications.columns import DELIVERIES, LIST_OF_DELIVERIES
from apps.notifications.models import Channel, Delivery, DeliveryStatus
from apps.notifications.views.channels import INSTALLATION
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

PAGE_SIZE = 50


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    """The deliveries of the channels that the member sees, in the team they work in; with `about=installation` those of
    an operator's channels.
    """
    about = request.GET.get("about", "")
    team = None if about == INSTALLATION else request.team or None
    rows = Delivery.objects.visible_to(request.user).filter(channel__team=team)
    rows = rows.select_related("channel", "notification", "replays").prefetch_related("attempts")
    chosen = {name: request.GET.get(name, "") for name in ("status", "channel")}
    if chosen["status"] in DeliveryStatus.values:
        rows = rows.filter(status=chosen["status"])
    if chosen["channel"].isdecimal() and len(chosen["channel"]) < 19:
        rows = rows.filter(channel=int(chosen["channel"]))
    rows = in_order(rows, LIST_OF_DELIVERIES, request.GET.get(ORDERING, ""))
    if wants_csv(request):
        return csv_of_rows(request, "deliveries", DELIVERIES, rows)
    context = {
        "page": KeyedPaginator(rows, PAGE_SIZE).get_page(request.GET.get("page")),
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "acts": DELIVERY_ACTS.values(),
        "about": about if about == INSTALLATION else "",
        "statuses": DeliveryStatus.choices,
        "channels": Channel.objects.visible_to(request.user).filter(team=team).exclude(medium="bell"),
    }
    template = "notifications/_deliveries.html" if request.htmx else "notifications/deliveries.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
def bulk(request: MemberRequest) -> HttpResponse:
    """What would happen to the chosen messages; POST does it. The act checks whose channel it is."""
    rows = Delivery.objects.visible_to(request.user).select_related("channel__team", "notification")
    return bulk_page(request, DELIVERY_ACTS, rows, kind="delivery", back=reverse("notifications:deliveries"))


@require_POST
def replay(request: MemberRequest, pk: int) -> HttpResponse:
    delivery = get_object_or_404(Delivery.objects.visible_to(request.user).select_related("channel__team"), pk=pk)
    services.replay(request.user, delivery)
    messages.success(request, _("The message is sent again, with the same id."))
    return redirect(delivery.channel)
