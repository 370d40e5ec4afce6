"""Answers forbid what pages never do: other hosts, scripts in the page, strange frames."""

from __future__ import annotations

import asyncio

import pytest
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from lathe.security import ContentSecurityPolicyMiddleware

pytestmark = pytest.mark.portable


@pytest.mark.parametrize("path", ["/health/", "/static/vendor/netron/index.html"])
def test_every_answer_has_the_policy(client, path):
    response = client.get(path)
    policy = dict(part.split(" ", 1) for part in response["Content-Security-Policy"].split("; "))
    assert policy["script-src"] == "'self'"
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'self'"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "camera=()" in response["Permissions-Policy"]


def test_a_view_may_have_a_stricter_policy():
    def download(request):
        return HttpResponse(headers={"Content-Security-Policy": "sandbox"})

    response = ContentSecurityPolicyMiddleware(download)(RequestFactory().get("/"))
    assert response["Content-Security-Policy"] == "sandbox"


def test_the_policy_is_added_under_an_asynchronous_server_too():
    async def view(request):
        return HttpResponse()

    response = asyncio.run(ContentSecurityPolicyMiddleware(view)(AsyncRequestFactory().get("/")))
    assert "default-src 'self'" in response["Content-Security-Policy"]
