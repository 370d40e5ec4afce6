"""The way to the identity provider."""

from __future__ import annotations

import logging

from allauth.socialaccount.providers.openid_connect import views
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from requests import RequestException

from apps.accounts.errors import SingleSignOnFailed
from apps.accounts.single_sign_on import identity_provider

logger = logging.getLogger(__name__)


@login_not_required
def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """allauth's view. Raises `SingleSignOnFailed` if the provider does not say where its login is."""
    try:
        answer: HttpResponse = views.login(request, provider_id)
        return answer
    except (RequestException, KeyError, ValueError) as error:
        logger.warning("Single sign-on failed: %s", error, exc_info=True)
        raise SingleSignOnFailed(provider=identity_provider().name) from error
