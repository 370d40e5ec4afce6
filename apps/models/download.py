"""Sending a blob to a browser or a script, a piece at a time, with its digest."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator
from pathlib import PurePath

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags

from apps.agents.formats import FORMATS, Format
from apps.models.models import Blob, ModelVersion
from apps.models.storage import CHUNK_BYTES, open_blob

_ALSO_RIGHT = {Format.ONNX: (".zip",), Format.TORCHSCRIPT: (".pth", ".ts", ".torchscript")}
"""An ONNX model with its external data is an archive; TorchScript goes by several names."""
_SUFFIXES = {spec.format: (spec.suffix, *_ALSO_RIGHT.get(spec.format, ())) for spec in FORMATS.values()}
_KNOWN = frozenset({*itertools.chain(*_SUFFIXES.values()), ".safetensors", ".bin"})


def blob_response(request: HttpRequest, blob: Blob, filename: str) -> HttpResponseBase:
    """The bytes as a download. `ETag` is the SHA-256; `Repr-Digest` (RFC 9530) carries it in the standard form."""
    etag = f'"{blob.sha256}"'
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        return HttpResponseNotModified(headers={"ETag": etag})
    response = _body(request, blob)
    response["Content-Type"] = "application/octet-stream"
    response["Content-Length"] = str(blob.size_bytes)
    response["Content-Disposition"] = content_disposition_header(True, filename) or "attachment"
    response["ETag"] = etag
    response["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(blob.sha256)).decode()}:"
    response["Cache-Control"] = "private, no-cache"
    return response


def download_name(version: ModelVersion) -> str:
    """The name of a version's file, ending as its format's files do: programs look at that end.

    A suffix of another format, which the file had where it came from, makes way; any other word stays.
    """
    metadata = getattr(version, "metadata", None)
    if metadata is None:
        return version.filename
    stem, suffix = PurePath(version.filename).stem, PurePath(version.filename).suffix.lower()
    right = _SUFFIXES[Format(metadata.format)]
    if suffix in right:
        return version.filename
    return f"{stem if suffix in _KNOWN else version.filename}{right[0]}"


def _body(request: HttpRequest, blob: Blob) -> HttpResponseBase:
    """Over ASGI Django would read an ordinary iterator into memory whole, so that gets an asynchronous one."""
    if request.method == "HEAD":
        return HttpResponse()
    if isinstance(request, ASGIRequest):
        return StreamingHttpResponse(_pieces(blob))
    return FileResponse(open_blob(blob))


async def _pieces(blob: Blob) -> AsyncIterator[bytes]:
    file = await sync_to_async(open_blob, thread_sensitive=False)(blob)
    try:
        read = sync_to_async(file.read, thread_sensitive=False)
        while piece := await read(CHUNK_BYTES):
            yield piece
    finally:
        await sync_to_async(file.close, thread_sensitive=False)()
