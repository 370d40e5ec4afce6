"""What an answer cost the server, in its header `Server-Timing`: ms from the request to the answer, ms of CPU of the
whole process meanwhile, and ms and number of queries.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from lathe.middleware import Around

HEADER = "Server-Timing"
_FORM = re.compile(
    r"total;dur=(?P<total>[\d.]+), cpu;dur=(?P<cpu>[\d.]+), sql;dur=(?P<sql>[\d.]+);desc=(?P<queries>\d+)"
)


@dataclass
class Cost:
    begun: float = field(default_factory=time.perf_counter)
    begun_cpu: float = field(default_factory=time.process_time)
    queries: int = 0
    sql_s: float = 0.0

    def __str__(self) -> str:
        total_s, cpu_s = time.perf_counter() - self.begun, time.process_time() - self.begun_cpu
        return (
            f"total;dur={total_s * 1e3:.2f}, cpu;dur={cpu_s * 1e3:.2f}, "
            f"sql;dur={self.sql_s * 1e3:.2f};desc={self.queries}"
        )


_cost: ContextVar[Cost | None] = ContextVar("cost of the request", default=None)


class ServerTiming(Around):
    """Middleware, the outermost one."""

    def before(self, request: HttpRequest) -> Cost:
        cost = Cost()
        _cost.set(cost)
        return cost

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: Cost) -> HttpResponseBase:
        response.headers[HEADER] = str(begun)
        _cost.set(None)
        return response


def read(header: str) -> dict[str, float]:
    """`total`, `cpu` and `sql` in ms, and `queries`. Raises `ValueError` if the header is not this middleware's."""
    if not (found := _FORM.fullmatch(header)):
        raise ValueError(f"no answer of a server with benchmarks.page_times.settings: {header!r}")
    return {name: float(value) for name, value in found.groupdict().items()}


def _counted(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    cost, begun = _cost.get(), time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        if cost is not None:
            cost.queries += 1
            cost.sql_s += time.perf_counter() - begun


def count_on(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _counted not in connection.execute_wrappers:
        connection.execute_wrappers.append(_counted)


connection_created.connect(count_on)
