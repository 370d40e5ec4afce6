"""(a) Fifty people browse while two sessions run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.installation import Place, wait_until
from benchmarks.load.form import Form
from benchmarks.load.report import Found, percentile
from benchmarks.load.visitors import Site, browse
from benchmarks.people import cookie_of, member
from benchmarks.truth.rows import Row

if TYPE_CHECKING:
    from apps.optimization.demo import Demo

BOUND_MS = 150.0
AT_ONCE = 2
QUICK = {"allowed_techniques": ["onnx-static-int8"], "budget": {"minutes": 2.0, "candidates": 1}}
"""A session that ends soon, so that there is a report to read."""


def found(form: Form, place: Place) -> Found:
    from django.conf import settings

    from apps.optimization import demo

    with place.web() as web, place.workers("default", "checks", "cpu"):
        made = demo.ensure_demo()
        wait_until(lambda: made.ready, "the samples are checked", 600)
        ended = _ended(made)
        cookies = [cookie_of(member(f"visitor{number}", made.team)[0]) for number in range(form.people)]
        with sessions_at_work(made) as running:
            socket = f"/ws/sessions/{running.pk}/"
            site = Site(web.url, settings.SESSION_COOKIE_NAME, pages(made, ended, running), socket)
            browse(site, cookies[:5], 10.0)  # The first requests import and compile what every later one uses.
            answers = browse(site, cookies, form.browse_s, watching=form.watching)
    p95_ms, opened = percentile(answers.all_ms, 0.95), len(answers.all_ms)
    slowest = max(answers.took_ms, key=lambda name: percentile(answers.took_ms[name], 0.95))
    slowest_ms = percentile(answers.took_ms[slowest], 0.95)
    how = (
        f"{form.people} people open one of these pages each, read for 2 to 6 s, and open the next, for "
        f"{form.browse_s:.0f} s: {opened} pages, {opened / form.browse_s:.1f} a second. {AT_ONCE} sessions on the "
        f"sample run meanwhile, and {form.watching} people have one's live page open ({answers.pushes} pushes)."
    )
    rows = (
        Row("95 of 100 pages answer in time", f"≤ {BOUND_MS:.0f} ms", f"{p95_ms:.0f} ms", p95_ms <= BOUND_MS),
        Row(f"so does the slowest ({slowest})", f"≤ {BOUND_MS:.0f} ms", f"{slowest_ms:.0f} ms", slowest_ms <= BOUND_MS),
        Row("errors", "none", _told(answers.errors), not answers.errors),
    )
    return Found("People browse while sessions run", how, rows, (answers.table(),))


def _told(errors: list[str]) -> str:
    return f"{len(errors)}: {', '.join(sorted(set(errors))[:5])}" if errors else "none"


def _ended(made: Demo) -> Any:
    session = _start(made, **QUICK)

    def has_ended() -> bool:
        session.refresh_from_db()
        return session.status == "completed"

    wait_until(has_ended, "a first session is completed", 900)
    return session


def _start(made: Demo, **overrides: Any) -> Any:
    from apps.optimization.models import CriteriaSet
    from apps.optimization.services import session_start

    fastest = CriteriaSet.objects.current().get(team=None, name="fastest")
    given = {"user": made.user, "version": made.version, "dataset": made.dataset, "criteria_set": fastest}
    return session_start(**given, overrides=overrides, make_anew=True)


@contextmanager
def sessions_at_work(made: Demo) -> Iterator[Any]:
    """Sessions that run as long as the block does: one that ends is followed by another. The first of them."""
    first = [_start(made) for _ in range(AT_ONCE)]
    done = threading.Event()

    def follow() -> None:
        from django.db import connection

        while not done.wait(1.0):
            for _ in range(AT_ONCE - made.team.sessions.active().count()):
                _start(made)
        connection.close()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        time.sleep(5.0)
        yield first[0]
    finally:
        done.set()
        thread.join()


def pages(made: Demo, ended: Any, running: Any) -> dict[str, str]:
    version = made.version
    model = f"/models/{version.model_id}/"
    return {
        "dashboard": "/",
        "sessions": "/sessions/",
        "running session": f"/sessions/{running.pk}/",
        "completed session": f"/sessions/{ended.pk}/",
        "report": f"/sessions/{ended.pk}/report/",
        "new session": f"/sessions/new/?version={version.pk}&dataset={made.dataset.pk}",
        "models": "/models/",
        "model": model,
        "version": f"{model}versions/{version.number}/",
        "data sets": "/datasets/",
        "data set": f"/datasets/{made.dataset.pk}/",
        "criteria": "/criteria/",
        "workers": "/workers/",
        "audit": "/audit/",
        "storage": "/storage/",
        "documentation": "/docs/user-guide/",
        "API: sessions": "/api/v1/sessions/",
        "API: session": f"/api/v1/sessions/{running.pk}/",
        "API: models": "/api/v1/models/",
    }
