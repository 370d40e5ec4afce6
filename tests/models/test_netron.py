"""The graph page: Netron's own files, started without a word to another host."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.models import netron
from apps.models.models import ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.portable]


@pytest.fixture
def frame(version: ModelVersion, browse: Callable[[User], Client], viewer: User):
    return browse(viewer).get(reverse("models:version-graph-frame", args=[version.model.pk, version.number]))


def test_the_page_shows_the_frame(version: ModelVersion, browse, viewer: User):
    html = browse(viewer).get(reverse("models:version-graph", args=[version.model.pk, 1])).content.decode()
    assert f'src="{reverse("models:version-graph-frame", args=[version.model.pk, 1])}"' in html


def test_the_frame_names_the_file_of_the_version(frame, version: ModelVersion):
    html = frame.content.decode()
    url = reverse("models:version-file", args=[version.model.pk, version.number])
    assert f'<meta name="model-url" content="{url}">' in html
    assert '<meta name="model-name" content="model.onnx">' in html
    assert '<base href="/static/vendor/netron/">' in html


def test_nothing_is_loaded_from_another_host(frame):
    html = frame.content.decode()
    loaded = re.findall(r'<(?:script|link|img|iframe|object|embed)[^>]*(?:src|href)="([^"]*)"', html)
    assert loaded
    assert not [address for address in loaded if re.match(r"(https?:)?//", address)]


def test_netrons_own_start_is_not_there(frame):
    html = frame.content.decode()
    assert "index.js" not in html
    assert 'name="version" content="0.0.0"' in html


def test_the_policy_keeps_it_to_this_host(frame):
    policy = frame["Content-Security-Policy"]
    assert policy == netron.POLICY
    assert "connect-src 'self'" in policy
    assert "script-src 'self'" in policy
    assert "http" not in policy
    assert frame["X-Frame-Options"] == "SAMEORIGIN"


def test_a_filename_cannot_break_out_of_the_page(version: ModelVersion, browse, viewer: User):
    ModelVersion.objects.update(filename='"><script>alert(1)</script>')
    html = browse(viewer).get(reverse("models:version-graph-frame", args=[version.model.pk, 1])).content.decode()
    assert "<script>alert(1)" not in html


def test_a_node_to_begin_with_reaches_the_frame(version: ModelVersion, browse, viewer: User):
    name = '/body"><b>/Conv'
    graph, frame = (reverse(f"models:version-graph{part}", args=[version.model.pk, 1]) for part in ("", "-frame"))
    html = browse(viewer).get(graph, {"node": name}).content.decode()
    assert f'src="{frame}?node=%2Fbody%22%3E%3Cb%3E%2FConv"' in html
    framed = browse(viewer).get(frame, {"node": name}).content.decode()
    assert '<meta name="model-node" content="/body&quot;&gt;&lt;b&gt;/Conv">' in framed


def test_the_modules_that_the_start_needs_are_served():
    for name in (
        "js/graph.js",
        "vendor/netron/browser.js",
        "vendor/netron/view.js",
        "vendor/netron/onnx.js",
        "vendor/netron/pytorch.js",
    ):
        assert finders.find(name)


def test_a_netron_that_changed_is_noticed(monkeypatch, tmp_path):
    (tmp_path / "index.html").write_text("<html><head></head></html>")
    monkeypatch.setattr(netron, "_folder", lambda: tmp_path)
    netron._markup.cache_clear()
    with pytest.raises(netron.NetronChanged):
        netron._markup()
    netron._markup.cache_clear()
