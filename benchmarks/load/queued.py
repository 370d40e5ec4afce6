"""(b) Many sessions queue at once: all end, each step runs once, and pages answer meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.installation import Place, wait_until
from benchmarks.load.browsing import BOUND_MS
from benchmarks.load.form import Form
from benchmarks.load.report import Found, Table, percentile
from benchmarks.load.visitors import Answers, Site, browse
from benchmarks.people import cookie_of, member, simulated_material, token_of
from benchmarks.truth.rows import Row

WORKERS = 2
LENGTHS = {"shortest_s": 0.1, "longest_s": 0.3}
VISITORS = 5
LONGEST_S = 3600.0
BROWSED_S = 5.0


def found(form: Form, place: Place) -> Found:
    rows: list[Row] = []
    lines = []
    runs = place.folder / "runs.txt"
    with place.web() as web, place.simulated_workers(WORKERS, candidates=1, runs=runs, **LENGTHS):
        for sessions in form.queued:
            queue = Queue(sessions, web.url, runs)
            answers = queue.run()
            rows += queue.rows(answers)
            lines.append(queue.line(answers))
    how = (
        f"Sessions are started over the API, one request after the other, on {WORKERS} workers. The steps of "
        f"candidates take {LENGTHS['shortest_s']} to {LENGTHS['longest_s']} s and do nothing; claims, leases, files, "
        f"reports, decisions and messages are the product's own. {VISITORS} people browse meanwhile."
    )
    head = (
        "sessions",
        "steps",
        "started in s",
        "ended after s",
        "steps a second",
        "pages",
        "p50 ms",
        "p95 ms",
        "max ms",
    )
    return Found("Queues", how, tuple(rows), (Table(head, tuple(lines)),))


class Queue:
    """One crowd of sessions, of a team of its own."""

    def __init__(self, sessions: int, url: str, runs: Path) -> None:
        self.sessions, self.url, self.runs = sessions, url, runs
        self.user, self.team = member(f"crowd{sessions}")
        self.version, self.dataset = simulated_material(self.team, self.user)
        self.started_s = self.ended_s = 0.0
        self.steps: list[Any] = []

    def run(self) -> Answers:
        """What people saw from the first request until the last session has ended."""
        seen: list[Answers] = []
        over = threading.Event()
        visiting = threading.Thread(target=lambda: seen.extend(self._visits(over)), daemon=True)
        visiting.start()
        begun = time.monotonic()
        self._start()
        self.started_s = time.monotonic() - begun
        wait_until(lambda: not self.team.sessions.active().exists(), "all sessions end", LONGEST_S, every_s=1.0)
        self.ended_s = time.monotonic() - begun
        over.set()
        visiting.join()
        return _together(seen)

    def rows(self, answers: Answers) -> Iterator[Row]:
        from apps.optimization.models import SessionStep

        self.steps = list(SessionStep.objects.filter(session__team=self.team))
        statuses = Counter(self.team.sessions.values_list("status", flat=True))
        ran = Counter(int(line.split("-")[1]) for line in self.runs.read_text().split())
        once = sum(ran[step.pk] == 1 and step.attempt == 1 and step.status == "completed" for step in self.steps)
        p95_ms = percentile(answers.all_ms, 0.95)
        n, all_of_them = self.sessions, len(self.steps)
        yield Row(f"{n} sessions: all are completed", f"{n}", f"{statuses['completed']}", statuses["completed"] == n)
        yield Row(f"{n} sessions: each step ran once", f"{all_of_them}", f"{once}", once == all_of_them)
        yield Row(f"{n} sessions: pages meanwhile, p95", f"≤ {BOUND_MS:.0f} ms", f"{p95_ms:.0f} ms", p95_ms <= BOUND_MS)
        yield Row(f"{n} sessions: errors of pages", "none", str(len(answers.errors)), not answers.errors)

    def line(self, answers: Answers) -> tuple[str, ...]:
        rate, ms = len(self.steps) / self.ended_s, answers.all_ms
        shares = (f"{percentile(ms, share):.0f}" for share in (0.5, 0.95, 1.0))
        times = (f"{self.started_s:.0f}", f"{self.ended_s:.0f}", f"{rate:.1f}")
        return (f"{self.sessions}", f"{len(self.steps)}", *times, f"{len(ms)}", *shares)

    def _start(self) -> None:
        headers = {"Authorization": f"Bearer {token_of(self.user)}", "Content-Type": "application/json"}
        budget = {"minutes": 600, "candidates": 1}
        wanted = {"criteria": {"budget": budget}, "version": self.version.pk, "dataset": self.dataset.pk}
        for seed in range(self.sessions):
            body = json.dumps({**wanted, "seed": seed, "start_anyway": True, "make_anew": True}).encode()
            with urlopen(Request(f"{self.url}/api/v1/sessions/", body, headers), timeout=60) as answer:  # noqa: S310
                assert answer.status == 201

    def _visits(self, over: threading.Event) -> Iterator[Answers]:
        from django.conf import settings

        addresses = {"dashboard": "/", "sessions": "/sessions/", "workers": "/workers/", "models": "/models/"}
        site = Site(self.url, settings.SESSION_COOKIE_NAME, addresses)
        visitors = [member(f"visitor{n}of{self.sessions}", self.team)[0] for n in range(VISITORS)]
        cookies = [cookie_of(visitor) for visitor in visitors]
        while not over.is_set():
            yield browse(site, cookies, BROWSED_S, seed=int(time.monotonic()))


def _together(seen: list[Answers]) -> Answers:
    whole = Answers()
    for answers in seen:
        for name, times in answers.took_ms.items():
            whole.took_ms[name] += times
        whole.errors += answers.errors
    return whole
