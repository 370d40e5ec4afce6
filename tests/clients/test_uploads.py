"""What a lost connection costs: uploads and downloads go on where they stopped, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lathe_client import Lathe, LatheError, uploads
from lathe_client.store import Store
from tests.clients.conftest import Files, Portal

pytestmark = [pytest.mark.slow, pytest.mark.portable]
CHUNK = 1_000


class Line(httpx.BaseTransport):
    """A connection that carries so many chunks and is then lost; `lasting` for how many further requests."""

    def __init__(self, chunks: int, lasting: int) -> None:
        self.offsets: list[int] = []
        self._chunks, self._lasting = chunks, lasting
        self._line = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if len(self.offsets) >= self._chunks and self._lasting > 0:
            self._lasting -= 1
            raise httpx.ConnectError("the line is dead", request=request)
        if request.method == "PATCH":
            self.offsets.append(int(request.headers["Upload-Offset"]))
        return self._line.handle_request(request)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(uploads, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    path = tmp_path / "numbers.bin"
    path.write_bytes(bytes(range(250)) * 22)  # five chunks and a half
    return path


def test_a_lost_connection_costs_no_chunk_that_arrived(portal: Portal, file: Path, tmp_path: Path) -> None:
    line = Line(chunks=2, lasting=3)
    with Lathe(portal.url, portal.token, transport=line) as lathe:
        made = uploads.upload(lathe, file, state=tmp_path / "state.json")
        assert lathe.get(f"uploads/{made}/")["sha256"] == uploads.digest_of(file)
    assert line.offsets == [0, 1_000, 2_000, 3_000, 4_000, 5_000]


def test_a_later_call_goes_on_where_an_earlier_one_was_stopped(portal: Portal, file: Path, tmp_path: Path) -> None:
    state, told = tmp_path / "state.json", []
    with Lathe(portal.url, portal.token, transport=Line(chunks=3, lasting=10_000)) as lathe, pytest.raises(LatheError):
        uploads.upload(lathe, file, state=state)
    line = Line(chunks=100, lasting=0)
    with Lathe(portal.url, portal.token, transport=line) as lathe:
        made = uploads.upload(lathe, file, state=state, tell=lambda done, size: told.append((done, size)))
        assert lathe.get(f"uploads/{made}/")["sha256"] == uploads.digest_of(file)
        again = uploads.upload(lathe, file, state=state)
    assert line.offsets[:3] == [3_000, 4_000, 5_000]
    assert told == [(3_000, 5_500), (4_000, 5_500), (5_000, 5_500), (5_500, 5_500)]
    assert again != made, "a finished upload is not continued"


class Deaf(httpx.BaseTransport):
    """A connection on which the answer to every first POST is lost, and every first download after some bytes."""

    def __init__(self, cut_after: int = 0) -> None:
        self.seen: list[tuple[str, str]] = []
        self._line = httpx.HTTPTransport()
        self._cut_after = cut_after

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        told = request.headers.get("Range", "") if request.method == "GET" else ""
        self.seen.append((request.method, told))
        answer = self._line.handle_request(request)
        first = self.seen.count((request.method, told)) == 1
        if request.method == "POST" and first:
            raise httpx.ReadError("the answer is lost", request=request)
        if self._cut_after and request.method == "GET" and first and not told:
            return httpx.Response(answer.status_code, headers=answer.headers, stream=Cut(answer, self._cut_after))
        return answer


class Cut(httpx.SyncByteStream):
    def __init__(self, answer: httpx.Response, length: int) -> None:
        self._answer, self._length = answer, length

    def __iter__(self) -> Iterator[bytes]:
        yield b"".join(self._answer.iter_raw())[: self._length]
        raise httpx.ReadError("the line is dead")


def test_a_post_whose_answer_is_lost_is_carried_out_once(portal: Portal, file: Path) -> None:
    line = Deaf()
    with Lathe(portal.url, portal.token, transport=line) as lathe:
        made = lathe.post("models/", {"name": "made once"})
        assert [one["id"] for one in lathe.rows("models/", name="made once")] == [made["id"]]
    assert [method for method, _ in line.seen].count("POST") == 2


def test_a_download_that_is_cut_goes_on(portal: Portal, files: Files, file: Path, tmp_path: Path) -> None:
    with Lathe(portal.url, portal.token) as lathe:
        store = Store(lathe)
        version = store.add_version(store.model("downloaded"), files.good)
    line = Deaf(cut_after=700)
    with Lathe(portal.url, portal.token, transport=line) as lathe:
        path = lathe.download(f"versions/{version['id']}/file/", tmp_path)
    assert path.read_bytes() == files.good.read_bytes()
    assert [told for method, told in line.seen if method == "GET"] == ["", "bytes=700-"]
    assert not list(tmp_path.glob("*.part"))
