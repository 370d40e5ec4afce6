"""An upload goes on where it stopped, whether the connection was lost or the command was stopped."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from lathe_client import Lathe, LatheError, uploads
from tests.clients.conftest import Portal

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
