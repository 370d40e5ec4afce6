"""The way to the identity provider, for the pages before the login."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils.http import urlencode

register = template.Library()


@register.simple_tag(takes_context=True)
def single_sign_on(context: dict[str, Any]) -> dict[str, str] | None:
    """The provider's `name`, the `address` at which its login begins, and the `domains` whose people need no
    invitation; `None` without one."""
    provider = settings.LATHE.single_sign_on
    if provider is None:
        return None
    address = reverse("openid_connect_login", kwargs={"provider_id": provider.key})
    wanted = context.get("redirect_field_value")
    return {
        "name": provider.name,
        "address": f"{address}?{urlencode({'next': wanted})}" if wanted else address,
        "domains": ", ".join(provider.domains),
    }
