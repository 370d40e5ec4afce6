"""`GET /metrics/`: all metrics in Prometheus's text format, for whom the operator lets in.

What is in the database is read anew at each scrape, so all web processes say the same. What web processes count
themselves is added up over all of a machine (`lathe.multiprocess`).
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from apps.models import gauges as store
from apps.monitoring import tallies
from apps.notifications import gauges as outbox
from apps.optimization import gauges as work
from apps.outages import REDIS_AWAY
from lathe import multiprocess, traffic
from lathe.broker import backlogs
from lathe.errors import DATABASE_AWAY

logger = logging.getLogger(__name__)

_ROWS: tuple[Callable[[], Iterable[Metric]], ...] = (work.metrics, store.metrics, outbox.metrics, tallies.metrics)


class Shared(Collector):
    """What every web process would say: the database's rows and Redis's queues. A service that is away is `lathe_up` 0,
    and its other metrics are missing."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("lathe_up", "Whether a service answered this scrape.", labels=["service"])
        try:
            rows = [metric for read in _ROWS for metric in read()]
        except DATABASE_AWAY:
            logger.warning("The database did not answer a scrape.", exc_info=True)
            rows = []
        up.add_metric(["database"], bool(rows))
        try:
            queues = list(_queues())
            up.add_metric(["redis"], 1)
        except REDIS_AWAY:
            logger.warning("Redis did not answer a scrape.", exc_info=True)
            queues = []
            up.add_metric(["redis"], 0)
        yield up
        yield from rows
        yield from queues


def _queues() -> Iterator[Metric]:
    """Messages to workers, as Redis holds them. Raises one of `REDIS_AWAY`."""
    depth = GaugeMetricFamily("lathe_queue_messages", "Messages that no worker has taken yet.", labels=["queue"])
    later = GaugeMetricFamily(
        "lathe_queue_delayed_messages", "Messages that are to be taken later, after a backoff.", labels=["queue"]
    )
    age = GaugeMetricFamily(
        "lathe_queue_oldest_message_age_seconds",
        "Seconds since the first message in line was sent; 0 if none waits.",
        labels=["queue"],
    )
    for queue, waiting in backlogs().items():
        depth.add_metric([queue], waiting.messages)
        later.add_metric([queue], waiting.delayed)
        age.add_metric([queue], waiting.oldest_age_s)
    yield from (depth, later, age)


def exposition() -> bytes:
    """All metrics as text."""
    shared = multiprocess.shared_folder()
    own = traffic.REGISTRY
    if shared is not None:
        multiprocess.forget_the_dead(shared)
        own = CollectorRegistry()
        MultiProcessCollector(own, path=str(shared))
    rows = CollectorRegistry()
    rows.register(Shared())
    return generate_latest(rows) + generate_latest(own)


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics, for those who have the token or one of the addresses that the operator named; else 401 or 403."""
    if refusal := _refusal(request):
        return refusal
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    token = settings.LATHE.metrics_token
    if _is_listed(request.META.get("REMOTE_ADDR", "")) or (token and _has(request, token)):
        return None
    if token:
        sentence = "Send the token in LATHE_METRICS_TOKEN as `Authorization: Bearer …`.\n"
        return _text(sentence, 401, {"WWW-Authenticate": 'Bearer realm="metrics"'})
    return _text("Metrics are closed. Set LATHE_METRICS_TOKEN or LATHE_METRICS_NETWORKS to open them.\n", 403)


def _text(sentence: str, status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(sentence, status=status, headers=headers, content_type="text/plain; charset=utf-8")


def _has(request: HttpRequest, token: str) -> bool:
    given = request.headers.get("Authorization", "")
    return secrets.compare_digest(given.encode(), f"Bearer {token}".encode())


def _is_listed(peer: str) -> bool:
    """Whether the client's address, which `lathe.proxies` has determined, is one that may read the metrics."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in settings.LATHE.metrics_networks)
