"""People with browsers, as tasks of one event loop: each opens a page, reads it for seconds, and opens the next."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import websockets

from benchmarks.load.report import Table, percentile

READING_S = (2.0, 6.0)
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Site:
    """A portal, what people open there (addresses by name, a name is as likely as any other), and a live page."""

    url: str
    cookie_name: str
    pages: Mapping[str, str]
    socket: str | None = None


@dataclass
class Answers:
    """How long each page took in ms, by its name, and what went wrong."""

    took_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    pushes: int = 0

    @property
    def all_ms(self) -> list[float]:
        return [ms for times in self.took_ms.values() for ms in times]

    def table(self) -> Table:
        head = ("page", "opened", "p50 ms", "p95 ms", "max ms")
        lines = [
            (name, f"{len(ms)}", *(f"{percentile(ms, share):.0f}" for share in (0.5, 0.95, 1.0)))
            for name, ms in sorted(self.took_ms.items())
        ]
        return Table(head, tuple(lines))


def browse(site: Site, cookies: Sequence[str], seconds: float, *, watching: int = 0, seed: int = 7) -> Answers:
    """What people with these `cookies` saw within that time. The first `watching` of them also keep the live page
    open.
    """
    return asyncio.run(_browse(site, cookies, seconds, watching, seed))


async def _browse(site: Site, cookies: Sequence[str], seconds: float, watching: int, seed: int) -> Answers:
    answers, end = Answers(), time.monotonic() + seconds
    tasks = [_visit(site, cookie, random.Random(seed + n), end, answers) for n, cookie in enumerate(cookies)]
    watchers = [asyncio.create_task(_watch(site, cookie, answers)) for cookie in cookies[:watching]]
    await asyncio.gather(*tasks)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    return answers


async def _visit(site: Site, cookie: str, drawn: random.Random, end: float, answers: Answers) -> None:
    names = sorted(site.pages)
    async with httpx.AsyncClient(base_url=site.url, cookies={site.cookie_name: cookie}, timeout=PATIENCE_S) as client:
        await asyncio.sleep(drawn.uniform(0, READING_S[1]))
        while time.monotonic() < end:
            await _open(client, name := drawn.choice(names), site.pages[name], answers)
            await asyncio.sleep(drawn.uniform(*READING_S))


async def _open(client: httpx.AsyncClient, name: str, address: str, answers: Answers) -> None:
    begun = time.perf_counter()
    try:
        response = await client.get(address)
    except httpx.HTTPError as error:
        answers.errors.append(f"{name}: {type(error).__name__}")
        return
    answers.took_ms[name].append(1000 * (time.perf_counter() - begun))
    if response.status_code != httpx.codes.OK:
        answers.errors.append(f"{name}: {response.status_code}")


async def _watch(site: Site, cookie: str, answers: Answers) -> None:
    if site.socket is None:
        return
    address = site.url.replace("http://", "ws://") + site.socket
    headers = {"Cookie": f"{site.cookie_name}={cookie}"}
    try:
        # A page that is closed opens its socket again, as the browser's script does.
        async for socket in websockets.connect(address, origin=websockets.Origin(site.url), additional_headers=headers):
            with suppress(websockets.ConnectionClosed):
                async for _ in socket:
                    answers.pushes += 1
    except (websockets.WebSocketException, OSError) as error:
        answers.errors.append(f"live page: {type(error).__name__}")
