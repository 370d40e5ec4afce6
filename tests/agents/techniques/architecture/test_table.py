"""The latency table: interpolation, correction by whole sub-networks, and its error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from apps.agents.techniques.architecture.table import Deviation, Operator, Table, Work, measured, points

COUNTS = {("stem", 3): ((3,), (8, 16, 24, 32)), ("body", 5): ((8, 16, 24, 32), (8, 64)), ("each", 3): ((8, 16, 32), ())}


def _time(operators: Sequence[Operator]) -> list[float]:
    """Bilinear, so that interpolation is exact."""
    return [0.001 * one.inputs * one.outputs + 0.01 for one in operators]


def _work(random: np.random.Generator) -> Work:
    stem, body, each = (int(random.choice(range(8, 33, 4))) for _ in range(3))
    operators = (Operator("stem", 3, stem, 3), Operator("body", stem, body, 5), Operator("each", each, each, 3))
    return Work(operators, between=int(random.integers(1_000, 90_000)), macs=int(random.integers(10_000, 900_000)))


def test_times_between_measured_widths_are_interpolated() -> None:
    table = measured(COUNTS, _time, lambda share: None)
    assert table.sheets["body", 5].at(20, 36) == pytest.approx(0.001 * 20 * 36 + 0.01)
    assert table.sheets["each", 3].at(16, 16) == pytest.approx(0.001 * 16 * 16 + 0.01)
    assert table.entries == 4 + 4 * 2 + 3


def test_whole_sub_networks_correct_what_the_sum_does_not_know() -> None:
    table, random = measured(COUNTS, _time, lambda share: None), np.random.default_rng(0)
    works = [_work(random) for _ in range(40)]
    true_ms = [0.8 * table.latency_ms(one) - one.between / 2e6 + one.macs / 1e6 + 0.05 for one in works]
    corrected = table.corrected(works[:20], true_ms[:20])
    deviation = Deviation(
        tuple((corrected.latency_ms(one), ms) for one, ms in zip(works[20:], true_ms[20:], strict=True))
    )
    assert deviation.within == 1.0
    assert Deviation(tuple((table.latency_ms(one), ms) for one, ms in zip(works, true_ms, strict=True))).within < 0.5


def test_a_table_is_read_as_it_was_written() -> None:
    table = measured(COUNTS, _time, lambda share: None)
    assert Table.read(table.plain()) == table


def test_the_error_is_told() -> None:
    told = Deviation(((1.0, 1.0), (1.05, 1.0), (1.5, 1.0), (0.8, 1.0))).plain()
    assert (told["within_ten_percent"], told["median_error"], told["largest_error"]) == (0.5, 0.125, 0.5)


def test_a_few_of_many_counts_are_timed() -> None:
    assert points(range(8, 129, 8), 4) == (8, 48, 88, 128)
    assert points((16, 8, 8), 4) == (8, 16)


def test_a_deep_network_is_timed_at_fewer_widths() -> None:
    counts = {(f"layer {place}", 3): (range(8, 129, 8), range(8, 129, 8)) for place in range(40)}
    assert measured(counts, _time, lambda share: None).entries == 40 * 4 * 4
    few = {name: counts[name] for name in list(counts)[:3]}
    assert measured(few, _time, lambda share: None).entries == 3 * 8 * 8
