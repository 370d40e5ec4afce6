"""Streams a blob to a client in chunks, with its digest."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePath
from typing import IO

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags

from apps.agents.contracts.formats import FORMATS, Format
from apps.api import FILE
from apps.models import damage
from apps.models.errors import RangeUnsatisfiable, StoreFileDamaged
from apps.models.models import Blob, ModelVersion
from apps.models.storage import CHUNK_BYTES, open_blob

_ALSO_RIGHT = {Format.ONNX: (".zip",), Format.TORCHSCRIPT: (".pth", ".ts", ".torchscript")}
"""An ONNX model with external data is an archive; TorchScript files have several suffixes."""
_SUFFIXES = {spec.format: (spec.suffix, *_ALSO_RIGHT.get(spec.format, ())) for spec in FORMATS.values()}
_ONE_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")
_KNOWN = frozenset({*itertools.chain(*_SUFFIXES.values()), ".safetensors", ".bin"})


def blob_response(request: HttpRequest, blob: Blob, filename: str) -> HttpResponseBase:
    """The bytes as a download. `ETag` is the SHA-256; `Repr-Digest` (RFC 9530) contains it in the standard form.

    The bytes are verified while they are sent. If the file was changed in the store, the response is cut short, so that
    no client takes it for complete. Raises `StoreFileMissing`, and `StoreFileDamaged` if the size is already wrong.

    One range of bytes (`Range: bytes=1000-`) is answered with 206, so that a cut download goes on where it stopped. A
    part cannot be verified alone: whoever puts parts together compares the whole with `Repr-Digest`. Several ranges are
    answered with everything. Raises `RangeUnsatisfiable`.
    """
    etag = f'"{blob.sha256}"'
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        return HttpResponseNotModified(headers={"ETag": etag})
    part = _asked_part(request, blob, etag)
    response = _body(request, blob) if part is None else _part(request, blob, part)
    response["Content-Type"] = FILE
    response["Content-Length"] = str(blob.size_bytes if part is None else len(part))
    response["Accept-Ranges"] = "bytes"
    response["Content-Disposition"] = content_disposition_header(True, filename) or "attachment"
    response["ETag"] = etag
    response["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(blob.sha256)).decode()}:"
    response["Cache-Control"] = "private, no-cache"
    return response


def _asked_part(request: HttpRequest, blob: Blob, etag: str) -> range | None:
    """The bytes that the request asks for; `None` for all of them. Raises `RangeUnsatisfiable`."""
    asked = _ONE_RANGE.match(request.headers.get("Range", ""))
    if asked is None or request.headers.get("If-Range", etag) != etag:
        return None
    size, (first, last) = blob.size_bytes, asked.groups()
    if not first and not last:
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or start >= stop:
        raise RangeUnsatisfiable(asked=request.headers["Range"], size_bytes=size)
    return range(start, stop)


def _part(request: HttpRequest, blob: Blob, part: range) -> HttpResponseBase:
    reading = None if request.method == "HEAD" else PartReading(open_blob(blob), part)
    response = HttpResponse(status=206) if reading is None else _streamed(request, reading, status=206)
    response["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{blob.size_bytes}"
    return response


def download_name(version: ModelVersion) -> str:
    """The download name of a version's file, with the suffix of its format, because programs go by the suffix.

    A suffix of another format is replaced; any other suffix is kept.
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
    """Under ASGI, Django would read a synchronous iterator into memory as a whole, so ASGI gets an asynchronous one."""
    if request.method == "HEAD":
        return HttpResponse()
    return _streamed(request, Reading(blob, open_blob(blob)))


def _streamed(request: HttpRequest, reading: Pieces, status: int = 200) -> HttpResponseBase:
    pieces = _Asynchronous(reading) if isinstance(request, ASGIRequest) else reading
    return StreamingHttpResponse(pieces, status=status)


class Pieces:
    """Bytes in chunks."""

    _file: IO[bytes]

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.next_piece():
            yield piece

    def next_piece(self) -> bytes:
        """The next chunk; empty at the end."""
        raise NotImplementedError

    def close(self) -> None:
        self._file.close()


class PartReading(Pieces):
    """Some of a file's bytes."""

    def __init__(self, file: IO[bytes], part: range) -> None:
        self._file = file
        self._left = len(part)
        file.seek(part.start)

    def next_piece(self) -> bytes:
        piece = self._file.read(min(CHUNK_BYTES, self._left))
        self._left -= len(piece)
        return piece


class Reading(Pieces):
    """A blob's bytes in chunks. The last one is held back until all bytes are verified."""

    def __init__(self, blob: Blob, file: IO[bytes]) -> None:
        """Raises `StoreFileDamaged` if the file has the wrong size."""
        self._blob = blob
        self._file = file
        self._digest = hashlib.sha256()
        self._held = b""
        if getattr(file, "size", blob.size_bytes) != blob.size_bytes:
            file.close()
            raise damage.found(blob, StoreFileDamaged)

    def next_piece(self) -> bytes:
        """The next chunk; empty at the end. Raises `StoreFileDamaged` before the last chunk if the bytes differ."""
        if not self._held:
            self._held = self._read()
        piece, self._held = self._held, self._read()
        if piece and not self._held and self._digest.hexdigest() != self._blob.sha256:
            raise damage.found(self._blob, StoreFileDamaged)
        return piece

    def _read(self) -> bytes:
        piece = self._file.read(CHUNK_BYTES)
        self._digest.update(piece)
        return piece


class _Asynchronous:
    """The asynchronous counterpart."""

    def __init__(self, reading: Pieces) -> None:
        self._reading = reading

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = sync_to_async(self._reading.next_piece, thread_sensitive=False)
        while piece := await read():
            yield piece

    def close(self) -> None:
        self._reading.close()
