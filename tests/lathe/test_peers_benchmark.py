"""The comparison with peers counts what holds, keeps examples back, and tells of every peer that fails.

That it runs is seen by `make bench`.
"""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from benchmarks.peers import __main__ as peers
from benchmarks.peers import making, parts, plots
from benchmarks.peers.catalogue import ENTRIES, OWN, Entry
from benchmarks.peers.environments import PINNED, EnvironmentMissing, last_error
from benchmarks.peers.makers.job import Job
from benchmarks.peers.page import page
from benchmarks.peers.results import Found, Measured, Row, best_single, geometric_mean, hindsight, mean_of
from benchmarks.peers.subjects import IMAGES, SAMPLES, SUBJECTS

pytestmark = pytest.mark.portable

BY_KEY = {entry.key: entry for entry in ENTRIES}


def row(entry: str, speedup: float, drop: float, metric: str = "top1", original: float = 90.0) -> Row:
    value = Estimate(value=original)
    compared = MetricComparison(
        metric=metric,
        label="top-1 accuracy",
        unit="%" if metric == "top1" else "",
        higher_is_better=metric == "top1",
        original=value,
        candidate=Estimate(value=original - drop),
        drop=Estimate(value=drop, low=drop - 0.5, high=drop + 0.5),
        test="mcnemar",
        p_value=1.0,
    )
    ratio = Estimate(value=speedup, low=speedup * 0.9, high=speedup * 1.1)
    return Row(
        entry=entry,
        wall_s=2.0,
        cpu_s=1.0,
        measured=Measured(size_bytes=2_000_000, metric=compared, cpu_speedup=ratio, wall_speedup=ratio),
    )


TWO_MODELS = (
    Found(
        subject="resnet",
        rows=(row("lathe", 4.0, 0.1), row("ort-dynamic", 0.2, 0.0), row("nncf", 9.0, 1.5), row("ort-static", 2.0, 1.0)),
        size_bytes=4_000_000,
        machine="a machine",
        day="2026-11-27",
        form="short",
        load=(0.1, 4.0),
    ),
    Found(
        subject="minilm",
        rows=(row("lathe", 1.0, 0.0), row("nncf", 4.0, 0.2), Row(entry="ort-static", failure="ValueError: no | shape")),
        form="short",
    ),
)


# --- what counts -----------------------------------------------------------------------------------------------------


def test_a_loss_beyond_the_limit_a_slow_down_and_a_failure_count_as_no_gain() -> None:
    assert [row("x", 4.0, drop).counted for drop in (-1.0, 1.0, 1.01)] == [4.0, 4.0, 1.0]
    assert row("x", 0.2, 0.0).counted == 1.0
    assert Row(entry="x", failure="crashed").counted == 1.0


def test_perplexity_may_rise_by_two_per_cent() -> None:
    assert row("x", 2.0, 0.06, "perplexity", 3.1).counted == 2.0
    assert row("x", 2.0, 0.07, "perplexity", 3.1).counted == 1.0


def test_means_are_geometric_and_over_all_models() -> None:
    assert geometric_mean([8.0, 2.0]) == pytest.approx(4.0)
    assert mean_of("lathe", TWO_MODELS) == pytest.approx(2.0)
    assert mean_of("nncf", TWO_MODELS) == pytest.approx(2.0), "its loss on one model counts as 1"
    assert mean_of("litert-int8", TWO_MODELS) == 1.0, "it takes neither model"


def test_the_best_in_hindsight_is_chosen_for_each_model_and_the_best_single_one_once() -> None:
    known = ["ort-dynamic", "ort-static", "nncf"]
    assert hindsight(known, TWO_MODELS) == pytest.approx(8.0**0.5)
    assert best_single(known, TWO_MODELS) == "nncf"


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_tells_the_means_each_failure_and_what_was_not_run() -> None:
    text = page([*TWO_MODELS, Found(subject="magika", not_run="asset magika could not be fetched")], ENTRIES, SUBJECTS)
    assert "**Lathe 2.00**" in text
    assert "hindsight 2.83" in text
    assert "(NNCF, post-training) 2.00" in text
    assert "nothing made: ValueError: no / shape" in text
    assert "+1.50 [+1.00, +2.00] **over the limit**" in text
    assert "Not run: asset magika could not be fetched." in text
    assert "Not run: `make bench ONLY=cifar10` measures it." in text
    assert "*short*: sessions with a budget of 3 minutes" in text
    assert "**Other programs ran at the same time**" in text


def test_a_speed_up_that_does_not_hold_the_limit_stands_in_brackets() -> None:
    lines = page(TWO_MODELS, ENTRIES, SUBJECTS).splitlines()
    assert next(line for line in lines if line.startswith("| NNCF")) == "| NNCF, post-training | (9.00) | 4.00 | 2.00 |"


def test_results_are_kept_and_written_with_their_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(peers, "DOCS", tmp_path)
    (tmp_path / "images").mkdir()
    for found in reversed(TWO_MODELS):
        peers.keep(found)
    assert peers.kept() == list(TWO_MODELS)
    assert peers.main(["--kept", "--write"]) == 0
    assert "**Lathe 2.00**" in (tmp_path / "peers.md").read_text()
    for picture in ("peers-means.svg", "peers-models.svg"):
        assert ET.parse(tmp_path / "images" / picture).getroot().tag.endswith("svg")  # noqa: S314 - our own file


def test_a_trial_with_some_peers_is_never_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        peers.main(["--peers", "nncf", "--write"])
    assert "--peers is a trial" in capsys.readouterr().err


def test_a_picture_names_lathe_and_shows_what_does_not_hold_as_hollow() -> None:
    tried = {key: BY_KEY[key] for key in ("lathe", "nncf")}
    labels = {subject.key: subject.label for subject in SUBJECTS}
    assert f'r="7" fill="{plots.LATHE}"' in (picture := plots.models(tried, TWO_MODELS, labels))
    assert f'fill="{plots.PAPER}" stroke="{plots.PEER}"' in picture


# --- examples --------------------------------------------------------------------------------------------------------


def test_no_held_back_example_is_given(tmp_path: Path) -> None:
    subject = SUBJECTS[1]
    model, data = SAMPLES / "fashion_mobilenet.onnx", tmp_path / "few.npz"
    with np.load(IMAGES) as stored:
        numbered = stored["image"][:200].copy()
        numbered[:, 0, 0, 0] = np.arange(200)
        np.savez(data, image=numbered, y=stored["y"][:200])
    request = parts.Request(model=model, format=subject.format, data=data, spec=subject.spec, folder=tmp_path)
    parts.divide(request)
    held_back = parts.whole(model, subject.format, data, subject.spec, tmp_path).evaluation_indices
    given = set(np.load(request.given)["image"][:, 0, 0, 0].tolist())
    assert given.isdisjoint(held_back.tolist())
    assert len(given) + len(held_back) == 200
    assert request.calibration is not None
    assert set(np.load(request.calibration)["image"][:, 0, 0, 0].astype(int).tolist()) <= given


def test_lines_are_divided_as_arrays_are(tmp_path: Path) -> None:
    source, target = tmp_path / "all.jsonl", tmp_path / "given.jsonl"
    source.write_text('{"text": "a"}\n\n{"text": "b"}\n{"text": "c"}\n')
    parts.write_lines(source, target, np.array([True, False, True]))
    assert target.read_text() == '{"text": "a"}\n{"text": "c"}\n'


# --- peers that fail -------------------------------------------------------------------------------------------------


def job(folder: Path) -> Job:
    return Job(
        model=str(SAMPLES / "fashion_mobilenet.onnx"),
        format="onnx",
        calibration="",
        given="",
        spec={},
        out=str(folder),
        minutes=1.0,
        transformer=False,
        options={"bits": 8},
    )


def test_a_peer_that_gives_up_says_why(tmp_path: Path) -> None:
    found, artifact = making.make(BY_KEY["ort-blocks-8"], job(tmp_path), 120.0)
    assert artifact is None
    assert found.failure == "The model has no matrix product with constant weights (MatMul)."
    assert found.wall_s >= 0.0 < found.cpu_s


def test_a_peer_whose_environment_is_missing_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> Path:
        raise EnvironmentMissing(f"not installed: no {name}")

    monkeypatch.setattr(making, "python_of", missing)
    found, artifact = making.make(BY_KEY["nncf"], job(tmp_path), 120.0)
    assert (found.failure, artifact) == ("not installed: no nncf", None)


def test_what_a_peer_leaves_is_left_in_its_folder(tmp_path: Path) -> None:
    assert making.run(["touch", "left"], tmp_path, 60.0).code == 0
    assert (tmp_path / "left").is_file()


def test_a_peer_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    ended = making.run(["sleep", "60"], tmp_path, 0.2)
    assert ended.timed_out
    assert making.reason_of(ended, 120.0) == "not done within 2 minutes"


def test_the_last_error_of_an_installation_is_its_reason() -> None:
    assert last_error("WARNING: x\nERROR: no such release\nWARNING: y\n") == "ERROR: no such release"
    assert last_error("Traceback\nValueError: bad\n\n") == "ValueError: bad"
    assert last_error("") == "no reason given"


# --- the catalogue ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_entry_has_a_maker_and_an_environment(entry: Entry) -> None:
    assert find_spec(entry.module) is not None
    assert entry.environment == OWN or entry.environment in PINNED


def test_keys_are_unique_and_every_model_has_a_peer() -> None:
    assert len(BY_KEY) == len(ENTRIES)
    for subject in SUBJECTS:
        assert any(subject.format in entry.formats and not entry.is_lathe for entry in ENTRIES)


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = job(tmp_path)
    assert dataclasses.asdict(Job(**json.loads(written.write().read_text()))) == dataclasses.asdict(written)
