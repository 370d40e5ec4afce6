"""`make truth` in its short form, and what its rows would say if verdicts were not true."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.contracts.reports.measurements import Estimate
from benchmarks.truth import __main__ as truth
from benchmarks.truth import accuracy, rows, speed
from benchmarks.truth.demo import Demo
from benchmarks.truth.rows import Row


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.timeout(600)
def test_no_row_of_the_short_form_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    monkeypatch.setattr(truth, "PAGE", tmp_path / "truth.md")
    assert truth.main(["short", "--write"]) == 0, capsys.readouterr().out
    page = truth.PAGE.read_text()
    assert "No row is broken" in page
    for heading in ("Previously wrong", "Accuracy", "A choice among many", "Speed", "Known-bad candidates"):
        assert f"## {heading}\n" in page


def test_a_broken_row_is_told_and_ends_with_1(monkeypatch: pytest.MonkeyPatch, capsys):
    broken = Row("pigs fly", "0", "3 of 3", holds=False)
    monkeypatch.setattr(truth, "parts", lambda form, root: {"Pigs": lambda: [broken]})
    assert truth.main(["short"]) == 1
    assert "1 of 1 rows broken" in (out := capsys.readouterr().out)
    assert "| pigs fly | 0 | 3 of 3 | **NO** |" in out


@pytest.mark.parametrize(("hits", "holds"), [(50, True), (70, True), (90, False)])
def test_a_share_may_lie_three_standard_errors_beyond_its_bound(hits: int, holds: bool):
    assert rows.at_most("", hits, 1000, 0.05).holds is holds
    assert rows.at_least("", 1000 - hits, 1000, 0.95).holds is holds


def test_nothing_is_claimed_of_no_cases():
    assert rows.at_most("", 0, 0, 0.05).holds is None


def test_an_interval_that_is_too_narrow_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """An estimate without any interval holds the truth only where it hits it."""
    random = accuracy.np.random.default_rng(3)
    labels = random.integers(0, 3, 2000)
    scores = [accuracy.np.eye(3)[accuracy.np.where(random.random(2000) < right, labels, 0)] for right in (0.9, 0.85)]
    answers = truth.accuracy.Answers("", scores[0], scores[1], labels, ("a", "b", "c"))
    covered = accuracy.covered(answers, accuracy.Metric.TOP1, 250, 60, 0)
    plain = accuracy._drop
    monkeypatch.setattr(accuracy, "_drop", lambda *given: Estimate(value=plain(*given).value))
    assert rows.at_least("", covered, 60, accuracy.COVERAGE).holds
    assert not rows.at_least("", accuracy.covered(answers, accuracy.Metric.TOP1, 250, 60, 0), 60, 0.93).holds


def test_an_interval_of_one_look_is_found_out_by_looking_often(monkeypatch: pytest.MonkeyPatch):
    def one_look(logs, confidence, seed):
        error = speed.np.std(logs, ddof=1) / len(logs) ** 0.5
        return speed.LogInterval(float(speed.np.mean(logs)), 1.96 * float(error))

    monkeypatch.setattr(speed, "of_rounds", one_look)
    said = [speed.looked_at(speed.np.random.default_rng([0, number])) for number in range(300)]
    assert not rows.at_most("", said.count("holds") + said.count("violated"), 300, 0.05).holds


def test_what_the_demo_said_is_read_from_its_words():
    said = "c01 (Static int8) is delivered. It meets every\nconstraint: 4.15× as fast [4.02, 4.28], 3.91 times smaller."
    assert Demo(0, said, 60.0).speedup == (4.15, 4.02, 4.28)
    assert Demo(4, "The machine was too busy.", 60.0).speedup is None
    assert Demo(4, "The machine was too busy.", 60.0).undecided
    assert not Demo(1, "The original stands.", 60.0).undecided
