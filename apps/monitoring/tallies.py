"""Counts of what happens in workers and web processes, kept in the database.

A process that counts for itself loses its counts when it ends, and a worker has no address to be asked at. So each
event adds one to a row, in a statement of its own once the transaction is committed: what was rolled back is not
counted, and no transaction waits for another because of a count. A process that dies in between loses that one count.

Each app declares its families where its events happen. The values that a label can have are declared too, so that every
series exists from the first scrape, with zero.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, product

from django.db import IntegrityError, transaction
from django.db.models import F
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from apps.monitoring.models import Tally

SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Bounds for work that takes from a moment to hours."""

_families: dict[str, Family] = {}


@dataclass(frozen=True)
class Family:
    """One metric: counts of events by labels, as a histogram if it has `bounds`."""

    name: str
    """Without the ending `_total`, which is added where it belongs."""
    help: str
    labels: Mapping[str, tuple[str, ...]]
    """Each label with its known values."""
    bounds: tuple[float, ...] = ()
    sums: str = ""
    """The name of a second metric with the sum of what was measured; empty for none."""
    sums_help: str = field(default="")

    def __post_init__(self) -> None:
        _families[self.name] = self

    def count(self, *values: str, measured: float = 0.0) -> None:
        """Counts one event with these values of the labels, once the transaction is committed. Never raises."""
        labels = json.dumps([str(value) for value in values])
        bucket = bisect_left(self.bounds, measured)
        transaction.on_commit(lambda: _add(self.name, labels, bucket, measured), robust=True)


def _add(family: str, labels: str, bucket: int, measured: float) -> None:
    rows = Tally.objects.filter(family=family, labels=labels, bucket=bucket)
    more = {"events": F("events") + 1, "total": F("total") + measured}
    if rows.update(**more):
        return
    try:
        with transaction.atomic():
            Tally.objects.create(family=family, labels=labels, bucket=bucket, events=1, total=measured)
    except IntegrityError:  # another process has just made the row
        rows.update(**more)


def metrics() -> Iterator[Metric]:
    """All families with their present counts, read in one query."""
    kept: dict[str, dict[tuple[str, ...], list[Tally]]] = {name: {} for name in _families}
    for tally in Tally.objects.all():
        if tally.family in kept:
            kept[tally.family].setdefault(tuple(json.loads(tally.labels)), []).append(tally)
    for family in _families.values():
        known: dict[tuple[str, ...], list[Tally]] = {values: [] for values in product(*family.labels.values())}
        yield from _metrics_of(family, {**known, **kept[family.name]})


def _metrics_of(family: Family, series: Mapping[tuple[str, ...], list[Tally]]) -> Iterator[Metric]:
    names = list(family.labels)
    if family.bounds:
        histogram = HistogramMetricFamily(family.name, family.help, labels=names)
        for values, rows in series.items():
            histogram.add_metric(list(values), _buckets(family, rows), sum_value=sum(row.total for row in rows))
        yield histogram
        return
    counter = CounterMetricFamily(family.name, family.help, labels=names)
    total = CounterMetricFamily(family.sums or family.name, family.sums_help, labels=names)
    for values, rows in series.items():
        counter.add_metric(list(values), sum(row.events for row in rows))
        total.add_metric(list(values), sum(row.total for row in rows))
    yield counter
    if family.sums:
        yield total


def _buckets(family: Family, rows: list[Tally]) -> list[tuple[str, float]]:
    """The events up to each bound."""
    events = {row.bucket: row.events for row in rows}
    bounds = [*(str(bound) for bound in family.bounds), "+Inf"]
    return list(zip(bounds, accumulate(float(events.get(place, 0)) for place in range(len(bounds))), strict=True))
