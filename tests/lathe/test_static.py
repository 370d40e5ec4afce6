"""Scripts of installed packages are served from where they lie, and only those."""

from __future__ import annotations

import pytest
from django.contrib.staticfiles import finders

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


def test_the_list_for_collectstatic_has_what_find_finds():
    finder = VendorFinder()
    for path, storage in finder.list([]):
        assert finder.find(f"{storage.prefix}/{path}") == storage.path(path)


def test_a_missing_package_is_named():
    with pytest.raises(ModuleNotFoundError, match="the package nosuchpackage is not installed"):
        installed_folder("nosuchpackage/static")
