"""A token that was kept for a portal is found however its address is written, and is sent to no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from lathe_client import LatheError, credentials
from lathe_client.addresses import normalised

pytestmark = pytest.mark.portable


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("LATHE_URL", "LATHE_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("kept", ["https://lathe.example.org", "https://lathe.example.org/"])
@pytest.mark.parametrize(
    "given",
    [
        "https://lathe.example.org",
        "https://lathe.example.org/",
        "https://Lathe.Example.org",
        "HTTPS://lathe.example.org:443/",
        " https://lathe.example.org\n",
    ],
)
def test_one_portal_written_in_several_ways_is_the_same(kept: str, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.keep(kept, "secret")
    monkeypatch.setenv("LATHE_URL", given)
    assert credentials.known()[1] == "secret"
    assert credentials.known(given)[1] == "secret"


@pytest.mark.parametrize(
    "given",
    [
        "http://lathe.example.org",
        "https://lathe.example.org:8443",
        "https://lathe.example.org/Lathe",
        "https://lathe.example.org.evil.example",
    ],
)
def test_another_portal_does_not_get_the_token(given: str) -> None:
    credentials.keep("https://lathe.example.org", "secret")
    with pytest.raises(LatheError, match="Log in first"):
        credentials.known(given)


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://[::1]:80/Lathe/", "http://[::1]/Lathe"),
        ("http://LOCALHOST:8000", "http://localhost:8000"),
        ("https://lathe.example.org:80", "https://lathe.example.org:80"),
    ],
)
def test_an_address_has_one_form(url: str, same: str) -> None:
    assert normalised(url) == same


@pytest.mark.parametrize(
    "url", ["", "lathe", "ftp://lathe", "https://", "https://me@lathe", "https://lathe:1x", "http://a?b"]
)
def test_what_is_no_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(LatheError, match=r"is not the address of a portal\. Write one such as https://"):
        normalised(url)
