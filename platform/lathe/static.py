"""Static files: the project's own, and those in installed packages. The tree has no copies of the latter."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage
from django.http import HttpRequest, HttpResponse
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


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise with complete responses. Django's ASGI handler would read a file's iterator into memory anyway, with a
    warning for each request. The largest file has 5 MB."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:
            with found.file:
                content = found.file.read()
        response = HttpResponse(content, status=int(found.status))
        del response["content-type"]
        for name, value in found.headers:
            response[name] = value
        return response
