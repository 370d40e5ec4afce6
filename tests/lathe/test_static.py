"""Scripts of installed packages are served from where they lie, and only those."""

from __future__ import annotations

import gzip
import os

import pytest
from django.contrib.staticfiles import finders
from django.templatetags.static import static

from lathe.static import VendorFinder, installed_folder

pytestmark = pytest.mark.portable


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("vendor/netron/index.html", "text/html"),
        ("vendor/netron/onnx.js", "text/javascript"),
        ("vendor/netron/onnx-metadata.json", "application/json"),
        ("django_htmx/htmx-2.min.js", "text/javascript"),
        ("django_htmx/ext/hx-ws-2.min.js", "text/javascript"),
        ("drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js", "text/javascript"),
    ],
)
def test_packages_files_are_served_to_anybody(client, path, content_type):
    response = client.get(f"/static/{path}")
    assert response.status_code == 200
    assert response["Content-Type"].startswith(content_type)
    assert not response.streaming
    assert len(response.content) == int(response["Content-Length"])


@pytest.mark.parametrize(
    "path",
    [
        "vendor/netron/__init__.py",
        "vendor/netron/server.py",
        "vendor/netron/../django/__init__.py",
        "vendor/django/__init__.py",
        "vendor/other/x.js",
    ],
)
def test_nothing_else_of_a_package_is_served(path):
    assert finders.find(path) is None


def test_a_browser_that_has_the_file_is_told_so(client):
    first = client.get("/static/vendor/netron/onnx.js")
    again = client.get("/static/vendor/netron/onnx.js", headers={"If-Modified-Since": first["Last-Modified"]})
    assert again.status_code == 304
    assert again.content == b""


def test_an_address_changes_with_the_content(settings, tmp_path):
    file = tmp_path / "some.css"
    file.write_text("a { color: red }")
    settings.STATICFILES_DIRS = [tmp_path]
    finders.get_finder.cache_clear()
    try:
        before = static("some.css")
        file.write_text("a { color: blue }")
        os.utime(file, ns=(1, 1))
        assert static("some.css") != before
    finally:
        finders.get_finder.cache_clear()


def test_what_an_address_with_a_hash_gives_is_kept_for_good(client):
    address = static("lathe.css")
    assert "immutable" in client.get(address)["Cache-Control"]
    for other in (address.partition("?")[0], "/static/lathe.css?v=0123456789abcdef"):
        assert "immutable" not in client.get(other)["Cache-Control"], "what it is under another hash is not known"


def test_texts_are_compressed_for_whoever_takes_that(client):
    plain = client.get(static("lathe.css"))
    small = client.get(static("lathe.css"), headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert gzip.decompress(small.content) == plain.content
    assert len(small.content) == int(small["Content-Length"]) < len(plain.content) / 2
    assert "Content-Encoding" not in plain
    assert plain["Vary"] == small["Vary"] == "Accept-Encoding"
    part = client.get(static("lathe.css"), headers={"Accept-Encoding": "gzip", "Range": "bytes=0-9"})
    assert part.status_code == 206
    assert part.content == plain.content[:10]
    assert client.head(static("lathe.css"), headers={"Accept-Encoding": "gzip"}).status_code == 200


def test_a_file_that_is_not_there_has_an_address_without_a_hash():
    assert static("no/such.js") == "/static/no/such.js"


def test_the_list_for_collectstatic_has_what_find_finds():
    finder = VendorFinder()
    for path, storage in finder.list([]):
        assert finder.find(f"{storage.prefix}/{path}") == storage.path(path)


def test_a_missing_package_is_named():
    with pytest.raises(ModuleNotFoundError, match="the package nosuchpackage is not installed"):
        installed_folder("nosuchpackage/static")
