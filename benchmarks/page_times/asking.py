"""Each page asked for again and again, in turns, by one person who waits for each answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from benchmarks.load.report import percentile
from benchmarks.page_times.server_timing import HEADER, read
from benchmarks.page_times.site import Site

ANSWERED = {"not-found": httpx.codes.NOT_FOUND}
"""Of every other page 200."""
PATIENCE_S = 120.0


@dataclass
class Answers:
    """Of one page, an entry for each time it was asked for."""

    server_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    sql_ms: list[float] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    sent_bytes: list[int] = field(default_factory=list)

    def add(self, answer: httpx.Response) -> None:
        cost = read(answer.headers[HEADER])
        self.server_ms.append(cost["total"])
        self.cpu_ms.append(cost["cpu"])
        self.sql_ms.append(cost["sql"])
        self.queries.append(int(cost["queries"]))
        self.sent_bytes.append(answer.num_bytes_downloaded)

    @property
    def p95_ms(self) -> float:
        return percentile(self.server_ms, 0.95)

    @property
    def usual_queries(self) -> int:
        """The median: now and then a page also notes that its reader is still there."""
        return int(percentile(self.queries, 0.5))


def asked(site: Site, rounds: int, told: Callable[[int], None] = lambda _: None, seed: int = 7) -> dict[str, Answers]:
    """By page. A first round, in which the server imports and compiles what every later one uses, does not count.

    Raises `SystemExit` if a page does not answer as it should.
    """
    found, drawn = {name: Answers() for name in site.pages}, random.Random(seed)
    with httpx.Client(base_url=site.url, cookies=site.cookies, timeout=PATIENCE_S) as client:
        for number in range(rounds + 1):
            told(number)
            for name in drawn.sample(list(site.pages), len(site.pages)):
                answer = client.get(site.pages[name])
                if answer.status_code != ANSWERED.get(name, httpx.codes.OK):
                    raise SystemExit(f"{name} ({site.pages[name]}) answered {answer.status_code}.")
                if number:
                    found[name].add(answer)
    return found
