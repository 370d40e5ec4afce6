"""Static files: the project's own, and those in installed packages. The tree has no copies of the latter.

They are served from where they lie, compressed, and under addresses with a hash of their content, so that a browser
asks for each once, and again only when it has changed. Nothing has to be collected first.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.finders import BaseFinder
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.core.files.storage import FileSystemStorage
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from whitenoise.compress import Compressor
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class Vendor(NamedTuple):
    """Files of one package, served under `vendor/<name>/` when their path in `folder` matches one of `patterns`."""

    name: str
    folder: str
    patterns: tuple[str, ...]


VENDORS = (Vendor("netron", "netron", ("*.js", "*.css", "*.html", "*.json", "*.png", "*.ico")),)
"""htmx is not listed: it is in the static folder of the app django_htmx."""


def installed_folder(folder: str) -> Path:
    """A folder inside an installed package, found without importing the package."""
    package, *inner = PurePosixPath(folder).parts
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the package {package} is not installed", name=package)
    return Path(spec.submodule_search_locations[0], *inner)


class VendorFinder(BaseFinder):
    """Finds only `vendor/netron/…` in the installed packages."""

    def __init__(self, app_names: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.storages: dict[Vendor, FileSystemStorage] = {}
        for vendor in VENDORS:
            storage = FileSystemStorage(location=installed_folder(vendor.folder))
            storage.prefix = f"vendor/{vendor.name}"  # type: ignore[attr-defined]
            self.storages[vendor] = storage

    def check(self, **kwargs: Any) -> list[Any]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        """The file's path, or an empty list; with `find_all`, a list of paths."""
        for vendor, storage in self.storages.items():
            prefix = f"{storage.prefix}/"  # type: ignore[attr-defined]
            inner = path.removeprefix(prefix)
            if path.startswith(prefix) and self._offers(vendor, inner) and storage.exists(inner):
                found = storage.path(inner)
                return [found] if find_all else found
        return []

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, FileSystemStorage]]:
        for vendor, storage in self.storages.items():
            _, files = storage.listdir("")
            for file in files:
                if self._offers(vendor, file):
                    yield file, storage

    @staticmethod
    def _offers(vendor: Vendor, path: str) -> bool:
        return "/" not in path and any(PurePosixPath(path).match(pattern) for pattern in vendor.patterns)


class HashedFiles(StaticFilesStorage):
    """Addresses that change with the content: `/static/lathe.css?v=0c4f…`."""

    def url(self, name: str | None) -> str:
        address = str(super().url(name))
        found = finders.find(name) if name else None
        return f"{address}?{HASH}={_digest(str(found), Path(str(found)).stat().st_mtime_ns)}" if found else address


HASH = "v"
FOR_GOOD = "max-age=31536000, public, immutable"
_TAKES_GZIP = re.compile(r"\bgzip\b")
SMALLEST = 1000
"""Bytes. A smaller file fits into one packet with its headers anyway."""


@lru_cache(maxsize=1024)
def _digest(path: str, changed_ns: int) -> str:
    """A hash of a file as it was at `changed_ns`."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


@lru_cache(maxsize=256)
def _compressed(path: str, changed_ns: int) -> bytes | None:
    """A file in gzip; `None` if that saves nothing."""
    content = Path(path).read_bytes()
    small = Compressor.compress_gzip(content)
    return small if len(small) < 0.95 * len(content) else None


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise with complete, compressed responses. Django's ASGI handler would read a file's iterator into memory
    anyway, with a warning for each request. The largest file has 5 MB, and each is compressed once a process.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        content, path = b"", ""
        if found.file is not None:
            with found.file:
                content, path = found.file.read(), getattr(found.file, "name", "")
        response = HttpResponse(content, status=int(found.status))
        del response["content-type"]
        for name, value in found.headers:
            response[name] = value
        if path and response.status_code == HTTPStatus.OK:
            changed_ns = Path(path).stat().st_mtime_ns
            if request.GET.get(HASH) == _digest(path, changed_ns):
                response["Cache-Control"] = FOR_GOOD
            _compress(request, response, path, changed_ns)
        return response


def _compress(request: HttpRequest, response: HttpResponse, path: str, changed_ns: int) -> None:
    if len(response.content) < SMALLEST or (small := _compressed(path, changed_ns)) is None:
        return
    patch_vary_headers(response, ["Accept-Encoding"])
    if _TAKES_GZIP.search(request.META.get("HTTP_ACCEPT_ENCODING", "")):
        response.content = small
        response["Content-Encoding"] = "gzip"
        response["Content-Length"] = str(len(small))
