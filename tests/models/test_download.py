"""Downloads over ASGI: piece by piece, also where Django would read a file whole."""

from __future__ import annotations

import asyncio

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.test import RequestFactory

from apps.models import download
from apps.models.download import blob_response
from apps.models.storage import put_stream

pytestmark = [pytest.mark.django_db, pytest.mark.portable]


def asgi_request(method: str = "GET") -> ASGIRequest:
    scope = {"type": "http", "method": method, "path": "/", "headers": [], "query_string": b""}
    return ASGIRequest(scope, None)


def test_the_bytes_come_in_pieces(monkeypatch):
    monkeypatch.setattr(download, "CHUNK_BYTES", 4)
    response = blob_response(asgi_request(), put_stream([b"0123456789"]), "net.onnx")
    assert isinstance(response, StreamingHttpResponse)
    assert response.is_async

    async def pieces() -> list[bytes]:
        return [piece async for piece in response]

    assert asyncio.run(pieces()) == [b"0123", b"4567", b"89"]


def test_head_tells_and_sends_nothing():
    for request in (asgi_request("HEAD"), RequestFactory().head("/")):
        response = blob_response(request, put_stream([b"0123456789"]), "net.onnx")
        assert response["Content-Length"] == "10"
        assert response.content == b""


def test_a_name_that_is_not_ascii_is_encoded():
    response = blob_response(asgi_request("HEAD"), put_stream([b"x"]), "Prüfung.onnx")
    assert response["Content-Disposition"] == "attachment; filename*=utf-8''Pr%C3%BCfung.onnx"
