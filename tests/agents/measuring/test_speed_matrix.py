"""Which cells of a grid are measured, what stands in them, and why others are left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.speed_matrix import MatrixCell, SpeedGrid
from apps.agents.measuring import speed_matrix
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.record import CANDIDATE, ORIGINAL
from apps.agents.measuring.speed_matrix import Surveyor, threads_of
from tests.agents.evaluation.test_evaluation import product

QUICK = Effort(warmup_runs=1, warmup_s=0.001, block_s=0.001, budget_s=0.05, rounds_minimum=3, rounds_maximum=3)


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., list[MatrixCell]]:
    engine = open_engine("onnx", product(tmp_path / "m.onnx", np.eye(3)), tmp_path)

    def measure(grid: SpeedGrid, *, alone: bool = False, fixed: int | None = None, most: int = 64) -> list[MatrixCell]:
        surveyor = Surveyor(
            engines={ORIGINAL: engine} if alone else {ORIGINAL: engine, CANDIDATE: engine},
            target=Target(),
            feeds_of=lambda batch: {"x": np.ones((batch, 3), np.float32)},
            fixed=fixed,
            most_examples=most,
            cores=2,
            seed=1,
            effort=QUICK,
        )
        return list(surveyor.cells(grid, lambda share, doing, left_s: None))

    return measure


def test_every_cell_has_both_models(measured: Callable[..., list[MatrixCell]]) -> None:
    cells = measured(SpeedGrid(batch_sizes=(1, 8), threads=(1, 2)))

    assert [(cell.batch_size, cell.threads) for cell in cells] == [(1, 1), (1, 2), (8, 1), (8, 2)]
    for cell in cells:
        assert cell.original is not None
        assert cell.candidate is not None
        assert cell.original.throughput_per_s == pytest.approx(1e3 * cell.batch_size / cell.original.p50_ms)
        assert cell.speedup == cell.original.p50_ms / cell.candidate.p50_ms


def test_without_a_candidate_the_original_stands_alone(measured: Callable[..., list[MatrixCell]]) -> None:
    (cell,) = measured(SpeedGrid(batch_sizes=(1,), threads=(1,)), alone=True)

    assert cell.original is not None
    assert (cell.candidate, cell.speedup) == (None, None)


def test_what_cannot_be_measured_says_why(measured: Callable[..., list[MatrixCell]]) -> None:
    fixed = measured(SpeedGrid(batch_sizes=(1, 2), threads=(1,)), fixed=2)
    assert fixed[0].skipped == "The model was exported with a batch size of 2."
    assert fixed[1].skipped is None
    cores = measured(SpeedGrid(batch_sizes=(1,), threads=(1, 4)))
    assert cores[1].skipped == "The machine that measured has 2 cores."
    large = measured(SpeedGrid(batch_sizes=(32,), threads=(1,)), most=16)
    assert large[0].skipped == speed_matrix.TOO_LARGE


def test_cells_that_would_begin_late_are_skipped(
    measured: Callable[..., list[MatrixCell]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_matrix, "LONGEST_S", -1.0)
    (cell,) = measured(SpeedGrid(batch_sizes=(1,), threads=(1,)))

    assert cell.skipped == speed_matrix.TOO_LATE


@pytest.mark.parametrize(("cores", "threads"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_threads_go_up_to_the_cores(cores: int, threads: tuple[int, ...]) -> None:
    assert threads_of(SpeedGrid(), cores) == threads


@pytest.mark.parametrize("wrong", [{"batch_sizes": (0,)}, {"threads": (1, 1)}, {"batch_sizes": tuple(range(1, 10))}])
def test_a_grid_has_bounds(wrong: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValidationError):
        SpeedGrid(**wrong)
