"""The portal as an object: requests with a token, repeated where that is safe, and every page of a list."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

import httpx

from lathe_client.addresses import normalised
from lathe_client.errors import LatheError, Problem

Json = dict[str, Any]
API = "/api/v1/"
REPEATABLE = ("GET", "HEAD", "POST")
TRIES = 5
"""How often a request is made that is safe to repeat, if the portal or the network is away for a moment."""
LONGEST_WAIT_S = 30.0
POLL_S = 1.0
PAGE_SIZE = 100
Watch = Callable[[Json], None]
"""Is told the row each time that it is read while somebody waits for it."""


class Lathe:
    """A portal at `url` as the member sees it whose token is `token`. Raises `LatheError` if either cannot be one."""

    def __init__(
        self, url: str, token: str, *, timeout_s: float = 60.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = normalised(url)
        self._http = httpx.Client(
            base_url=self.url + API,
            headers={"Authorization": f"Bearer {_token(token)}", "Accept": "application/json"},
            timeout=timeout_s,
            transport=transport,
        )

    def __enter__(self) -> Lathe:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- requests ----------------------------------------------------------------------------------------------------

    def get(self, path: str, **parameters: Any) -> Json:
        """The answer to a GET. Repeated while the portal is away."""
        return self._json(self.request("GET", path, params=_given(parameters)))

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        return self._json(self.request("POST", path, json=_given(body)))

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        """The row after the change. Not repeated: a first try may have changed it."""
        return self._json(self.request("PATCH", path, json=_given(body)))

    def rows(self, path: str, **parameters: Any) -> Iterator[Json]:
        """Every row of a list, page by page."""
        number = 1
        while True:
            page = self.get(path, page=number, page_size=PAGE_SIZE, **parameters)
            yield from page["results"]
            if page["next"] is None:
                return
            number += 1

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request. Raises `Problem` for a refusal, and `LatheError` without an answer.

        What may be repeated is, if the portal does not answer: GET and HEAD, and POST by means of a key, with which the
        portal carries it out once. What asks for patience (429, 503) is repeated after the seconds that it names.
        """
        if method == "POST":
            options["headers"] = {**options.get("headers", {}), "Idempotency-Key": str(uuid.uuid4())}
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if method not in REPEATABLE or attempt == TRIES:
                    raise LatheError(f"{self.url} does not answer: {error or type(error).__name__}.") from error
                pause_after(attempt)
                continue
            if _asks_for_patience(answer) and attempt < TRIES:
                time.sleep(_patience_s(answer, attempt))
                continue
            return self._accepted(answer)
        raise AssertionError("the last try returns or raises")

    def _accepted(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        raise Problem(answer.status_code, _body_of(answer))

    @staticmethod
    def _json(answer: httpx.Response) -> Json:
        try:
            body: Json = answer.json()
        except ValueError as error:
            raise LatheError(f"{answer.url} is not the API of a Lathe portal.") from error
        return body

    def download(self, path: str, target: Path, tell: Callable[[int, int], None] = lambda done, size: None) -> Path:
        """Writes a file to `target`, or into it if it is a folder. It appears there only once it is complete.

        A download that is cut off goes on where it stopped. Raises `LatheError` if its bytes are not those that the
        portal has announced.
        """
        head = self.request("HEAD", path)
        if target.is_dir():
            target = target / _filename(head)
        size, part = int(head.headers["Content-Length"]), target.with_name(f"{target.name}.part")
        digest = hashlib.sha256()
        try:
            with part.open("wb") as file:
                for piece in self._whole(path, head.headers["ETag"], target.name):
                    digest.update(piece)
                    file.write(piece)
                    tell(file.tell(), size)
            if f'"{digest.hexdigest()}"' != head.headers["ETag"]:
                raise LatheError(f"The download of {target.name} is damaged: its SHA-256 is not the announced one.")
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        os.replace(part, target)
        return target

    def _whole(self, path: str, etag: str, name: str) -> Iterator[bytes]:
        """All bytes of the file, over as many connections as it takes."""
        start = 0
        for attempt in range(1, TRIES + 1):
            try:
                for piece in self._pieces(path, start, etag):
                    start += len(piece)
                    yield piece
                return
            except httpx.TransportError as error:
                if attempt == TRIES:
                    raise LatheError(f"The download of {name} was cut off.") from error
            pause_after(attempt)

    def _pieces(self, path: str, start: int, etag: str) -> Iterator[bytes]:
        """The bytes of the file from `start` on."""
        headers = {"Range": f"bytes={start}-", "If-Range": etag} if start else {}
        with self._http.stream("GET", path, headers=headers) as answer:
            if not answer.is_success:
                answer.read()
            self._accepted(answer)
            if start and answer.status_code != 206:
                raise LatheError("The portal sends the whole file again instead of its rest.")
            yield from answer.iter_raw()

    # --- waiting -----------------------------------------------------------------------------------------------------

    def wait(
        self,
        path: str,
        going: Callable[[Json], bool],
        *,
        timeout_s: float | None = None,
        watch: Watch | None = None,
    ) -> Json:
        """The row at `path` once it is no longer `going`. Raises `LatheError` after `timeout_s`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            row = self.get(path)
            if watch is not None:
                watch(row)
            if not going(row):
                return row
            if deadline is not None and time.monotonic() > deadline:
                raise LatheError(f"{self.url}{API}{path} is not finished after {timeout_s:g} seconds.")
            time.sleep(POLL_S)

    def checked(self, path: str) -> Json:
        """A version or a data set once a worker has checked it. Raises `LatheError` if it was refused."""
        row = self.wait(path, lambda one: one["status"] == "pending")
        if row["status"] == "refused":
            raise LatheError(f"{row['filename']} was refused: {row['refusal']} [{row['refusal_code']}]")
        return row

    def ended(self, session: str, *, timeout_s: float | None = None, watch: Watch | None = None) -> Json:
        """A session once it has ended, however it did."""
        active = ("queued", "running")
        return self.wait(f"sessions/{session}/", lambda one: one["status"] in active, timeout_s=timeout_s, watch=watch)


def pause_after(attempt: int) -> None:
    """Waits before the next attempt, longer after each."""
    time.sleep(min(LONGEST_WAIT_S, 2.0**attempt / 2))


def _token(text: str) -> str:
    """The token without the white space around it. The message does not repeat it, for it may be in a log."""
    token = text.strip()
    if not token or not all("!" <= sign <= "~" for sign in token):
        raise LatheError("The token has signs that no API token has. Copy it once more from the portal.")
    return token


def _given(values: Mapping[str, Any]) -> Json:
    """Without what is not set: for the portal, `null` may mean something else."""
    return {name: value for name, value in values.items() if value is not None}


def _asks_for_patience(answer: httpx.Response) -> bool:
    busy = answer.status_code == 409 and _body_of(answer).get("code") == "idempotency.in_progress"
    return answer.status_code in (429, 503) or busy


def _patience_s(answer: httpx.Response, attempt: int) -> float:
    header = answer.headers.get("Retry-After", "")
    return min(LONGEST_WAIT_S, float(header) if header.isdigit() else 2.0**attempt)


def _body_of(answer: httpx.Response) -> Json:
    body: Json | Any = None
    with suppress(ValueError):
        body = answer.json()
    return body if isinstance(body, dict) else {"detail": f"The portal answered with {answer.status_code}."}


def _filename(answer: httpx.Response) -> str:
    """The name that the portal gives the file, without any folder."""
    header = answer.headers.get("Content-Disposition", "")
    _, _, name = header.partition("filename=")
    return Path(name.strip().strip('"')).name or "download"
