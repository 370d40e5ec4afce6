"""Which addresses members may send to: before the connection, and at it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
import requests

from apps.notifications import addresses, chats, guard, webhooks
from apps.notifications.errors import AddressInvalid, ServiceUnknown
from tests.notifications.conftest import LOOPBACK, Receiver

pytestmark = pytest.mark.portable

INSIDE = [
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "::127.0.0.1", "localhost", ""),
]
OUTSIDE = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_refused(address: str) -> None:
    assert not addresses.may_reach(address, ())


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_outside_is_not(address: str) -> None:
    assert addresses.may_reach(address, ())


def test_an_operator_opens_a_network_and_nothing_beside_it() -> None:
    listed = (ip_network("10.0.7.0/24"), ip_network("fd00:7::/64"))
    assert addresses.may_reach("10.0.7.9", listed)
    assert addresses.may_reach("::ffff:10.0.7.9", listed)
    assert addresses.may_reach("fd00:7::9", listed)
    assert not addresses.may_reach("10.0.8.9", listed)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/", "https://"),
        ("https:///path", "no host"),
        ("https://user:secret@example.org/", "password"),
        ("https://example.org/a b", "space"),
        ("https://example.org/\r\nHost: inside", "control"),
        ("https://example.org:99999/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://straße.example.org/", "xn--"),
        (f"https://{'a' * 70}.example.org/", "not a URL"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(AddressInvalid, match=reason):
        addresses.read(url)


def test_a_url_is_taken_apart() -> None:
    assert addresses.read("https://bücher.example/hook?a=1") == addresses.Target(
        True, "xn--bcher-kva.example", 443, "/hook?a=1"
    )
    assert addresses.read("http://[::1]:81") == addresses.Target(False, "::1", 81, "/")


# --- at the connection -----------------------------------------------------------------------------------------------


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A name server that gives one answer after the other, as one does that rebinds. Returns the names asked for."""
    asked: list[str] = []
    left = list(answers)

    def answer(host: str, port: int, *arguments: Any, **options: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def post(url: str, time_s: float = 2.0) -> tuple[int, str]:
    return webhooks.post(addresses.read(url), b"{}", {"Content-Type": "application/json"}, time_s=time_s)


def test_a_name_that_resolves_to_the_inside_is_not_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    with pytest.raises(guard.NotPublic):
        post(f"http://hooks.example.org:{receiver.server_port}/")
    with pytest.raises(guard.NotPublic):
        post(f"https://hooks.example.org:{receiver.server_port}/")
    assert receiver.taken == []


def test_a_name_that_rebinds_between_check_and_connection_gains_nothing(
    receiver: Receiver, listing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer may be reached, every later one leads elsewhere: there is no later one, nor another address."""
    listing(LOOPBACK)
    asked = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    assert post(f"http://hooks.example.org:{receiver.server_port}/") == (204, "")
    assert asked == ["hooks.example.org"], "the name is resolved once, and what was checked is connected to"
    assert receiver.taken[0][0]["host"] == f"hooks.example.org:{receiver.server_port}"
    with pytest.raises(guard.NotPublic):
        post(f"http://hooks.example.org:{receiver.server_port}/")
    assert len(receiver.taken) == 1


def test_of_several_addresses_only_those_outside_are_tried(
    receiver: Receiver, listing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    listing(LOOPBACK)
    resolving(monkeypatch, ["10.0.0.1", "127.0.0.1"])
    began = time.monotonic()
    assert post(f"http://hooks.example.org:{receiver.server_port}/")[0] == 204
    assert time.monotonic() - began < 1.5, "nothing waited for 10.0.0.1"


def test_plain_http_is_for_listed_networks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.216.34"])
    with pytest.raises(guard.NotEncrypted):
        post("http://hooks.example.org/")


def test_a_redirect_is_not_followed(receiver: Receiver, listing: Callable[..., None]) -> None:
    listing(LOOPBACK)
    receiver.status, receiver.headers = 307, {"Location": receiver.url}
    assert post(receiver.url)[0] == 307
    assert len(receiver.taken) == 1


DRIPS_S = 20.0


def drip(handler: Any) -> None:
    """Each byte comes in time for a socket's own limit; the whole takes `DRIPS_S`."""
    for byte in b"HTTP/1.1 200 OK".ljust(int(DRIPS_S / 0.1)):
        try:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.1)


def test_an_answer_that_drips_ends_with_the_time(receiver: Receiver, listing: Callable[..., None]) -> None:
    listing(LOOPBACK)
    receiver.before_answer = drip
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        post(receiver.url, time_s=0.5)
    assert time.monotonic() - began < DRIPS_S / 2


def test_an_endless_head_is_not_read_to_its_end(receiver: Receiver, listing: Callable[..., None]) -> None:
    listing(LOOPBACK)

    def flood(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        try:
            for number in range(5000):
                handler.wfile.write(f"X-{number}: {'x' * 1000}\r\n".encode())
        except OSError:
            return

    receiver.before_answer = flood
    with pytest.raises((OSError, webhooks.http.client.HTTPException)):
        post(receiver.url)


def test_a_path_with_letters_beyond_ascii_is_delivered_to(receiver: Receiver, listing: Callable[..., None]) -> None:
    listing(LOOPBACK)
    address = f"http://127.0.0.1:{receiver.server_port}/größe/%C3%A9?für=ü&a=b%20c"
    assert post(address)[0] == 204
    assert receiver.paths == ["/gr%C3%B6%C3%9Fe/%C3%A9?f%C3%BCr=%C3%BC&a=b%20c"]


# --- other people's connections --------------------------------------------------------------------------------------


def test_a_library_cannot_connect_to_the_inside(receiver: Receiver) -> None:
    with pytest.raises(guard.NotPublic):
        with guard.guarded():
            with pytest.raises(requests.ConnectionError):
                requests.post(receiver.url, timeout=2)
    assert receiver.taken == []
    assert requests.post(receiver.url, timeout=2).status_code == 204, "outside of the block nothing is refused"


def test_a_library_is_refused_where_a_redirect_leads(receiver: Receiver, listing: Callable[..., None]) -> None:
    listing(LOOPBACK)
    receiver.status = 307
    receiver.headers = {"Location": f"http://127.0.0.2:{receiver.server_port}/inside"}
    with pytest.raises(guard.NotPublic):
        with guard.guarded():
            with pytest.raises(requests.ConnectionError):
                requests.post(receiver.url, timeout=2)
    assert len(receiver.taken) == 1


def test_a_library_that_is_dripped_on_ends_with_the_time(
    receiver: Receiver, listing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    listing(LOOPBACK)
    monkeypatch.setattr(guard, "MOST_S", 0.5)
    receiver.before_answer = drip
    began = time.monotonic()
    with pytest.raises(TimeoutError), guard.guarded():
        with pytest.raises(requests.ConnectionError):
            requests.post(receiver.url, timeout=10)
        with pytest.raises(requests.RequestException):
            requests.post(receiver.url, timeout=10)  # its time is up, so it makes no more connections
    assert time.monotonic() - began < DRIPS_S / 2
    assert len(receiver.taken) == 1


def test_a_library_reads_no_endless_answer(receiver: Receiver, listing: Callable[..., None]) -> None:
    listing(LOOPBACK)

    def flood(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(10_000):
                handler.wfile.write(b"x" * 10_000)
        except OSError:
            return

    receiver.before_answer = flood
    with pytest.raises(guard.TooLong), guard.guarded():
        with pytest.raises(requests.ConnectionError):
            requests.post(receiver.url, timeout=10)


@pytest.mark.parametrize("what", ["program", "unix socket", "datagram"])
def test_a_library_cannot_leave_by_another_way(what: str) -> None:
    def leave() -> None:
        if what == "program":
            subprocess.run([sys.executable, "-c", "pass"], check=True)
        elif what == "unix socket":
            socket.socket(socket.AF_UNIX).connect("/run/some.sock")
        else:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 514))

    with pytest.raises(guard.NotPublic), guard.guarded():
        leave()


SECRETS = ("TIiajkdnlazkcOXrIdevi7FQ", "JHMHI8qBe7bk2ZwO5U711o3dV_js", "abcdefg_hijklmnop", "pass@", "KZIdm2wSMiM")


@pytest.mark.parametrize(
    "address",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#lathe",
        "matrixs://user:pass@matrix.example.org/#room",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "tgram://123456789:abcdefg_hijklmnop/12315544",
        "workflows://prod.logic.azure.com:443/643e69f83c8944/KZIdm2wSMiM",
        "ntfys://ntfy.example.org/lathe",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    ],
)
def test_known_services_are_accepted_and_shown_without_their_keys(address: str) -> None:
    chats.check(address)
    shown = chats.shown(address)
    for secret in (
        "TIiajkdnlazkcOXrIdevi7FQ",
        "JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "abcdefg_hijklmnop",
        "pass@",
        "KZIdm2wSMiM",
    ):
        assert secret not in shown


@pytest.mark.parametrize(
    "address",
    [
        *(
            "json://127.0.0.1/",
            "xmls://example.org/",
            "form://example.org/",
            "syslog://",
            "dbus://",
            "mailto://a:b@c.org",
        ),
        *(
            "matrix://user:pass@matrix.example.org/#room",
            "ntfy://10.0.0.1/x",
            "slack://",
            "file:///etc/passwd",
            "x",
            "",
        ),
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#x?template=/etc/passwd",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/passwd",
        "https://example.org/hook",
    ],
)
def test_everything_else_of_apprise_is_refused(address: str) -> None:
    with pytest.raises(ServiceUnknown, match="It can send to"):
        chats.check(address)
