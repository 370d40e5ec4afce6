"""Pages are compressed for browsers; what must keep its length or its tag is not."""

from __future__ import annotations

import gzip

import pytest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from django.urls import reverse

from lathe.compression import CompressedPages

TAKES = {"Accept-Encoding": "gzip, deflate, br"}
LONG = "word " * 1000


def test_a_page_is_compressed_for_whoever_takes_that(client, owner):
    client.force_login(owner)
    address = reverse("optimization:session-list")
    plain, small = client.get(address), client.get(address, headers=TAKES)
    assert small["Content-Encoding"] == "gzip"
    assert len(small.content) < len(plain.content) / 2
    assert gzip.decompress(small.content).count(b"<a ") == plain.content.count(b"<a ")
    assert "Accept-Encoding" in plain["Vary"]
    assert "Content-Encoding" not in plain


@pytest.mark.parametrize(
    "response",
    [
        JsonResponse({"text": LONG}),
        StreamingHttpResponse([LONG.encode()], content_type="text/html"),
        HttpResponse(LONG, content_type="application/zip"),
    ],
    ids=["API", "stream", "file"],
)
def test_nothing_else_is(response: HttpResponseBase):
    request = RequestFactory().get("/", headers=TAKES)
    assert "Content-Encoding" not in CompressedPages(lambda _: response)(request)
