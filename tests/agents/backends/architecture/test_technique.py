"""Architecture search as a technique: what it finds, that it repeats, goes on, and refuses by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from apps.agents.backends.torch.architecture import timing
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.techniques import (
    TechniqueNothingToSearch,
    TechniqueNotTraceable,
    TechniqueParameters,
)
from apps.agents.contracts.errors.training import TrainingPartMissing
from apps.agents.techniques.architecture import search, table
from apps.agents.techniques.base import Optimized
from apps.agents.techniques.training import trainer
from tests.agents import torch_uploads
from tests.agents.backends.architecture.test_supernet import Blocks
from tests.agents.backends.pruning.test_torch_prune import LABELLED, accuracy, examples, exported
from tests.agents.told import Killed, Killing, Told
from tests.agents.training_lessons import EXAMPLES, pictures
from tests.agents.workshop import Workshop

SHORT = {
    "steps": 24, "final_steps": 16, "trials": 8, "batch": 4, "latency_left": 0.9, "round_to": 8, "batch_size": 16,
    "finalists": 2, "learning_rate": 0.003,
}  # fmt: skip
UNLABELLED = DatasetSpec(kind="npz", task="fidelity", training_share=0.5)


@pytest.fixture(scope="module", autouse=True)
def _little_timing() -> Iterator[None]:
    """Times are not what these tests are about: few runs, few sub-networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "ROUNDS", 1)
        patch.setattr(search, "CORRECTING", 5)
        patch.setattr(search, "CHECKING", 3)
        patch.setattr(table, "POINTS", (2,))
        yield


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as an exported program, trained for a moment."""
    torch.manual_seed(0)
    module, images, labels = Blocks().train(), torch.from_numpy(pictures()), torch.arange(EXAMPLES) % 5
    optimizer = torch.optim.AdamW(module.parameters(), 0.003)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
    return exported(module.eval(), tmp_path_factory.mktemp("original") / "model.pt2", (3, 8, 8))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, original: Path) -> tuple[Workshop, Optimized, Told]:
    """One search, of which each test looks at a part."""
    workshop = Workshop(tmp_path_factory.mktemp("search"), "torch-export")
    made = workshop.apply("torch-search", original, examples(workshop), LABELLED, **SHORT)
    return workshop, made, workshop.told


def test_the_network_found_is_smaller_and_has_learned(found: tuple[Workshop, Optimized, Told]) -> None:
    workshop, made, told = found
    evidence = made.result.evidence
    assert evidence["macs_after"] < evidence["macs_before"]
    assert evidence["training"]["held_out_loss_after"] < evidence["training"]["held_out_loss_before"]
    assert accuracy(made.artifact, workshop.root) > 0.8
    assert evidence["search"]["trials_made"] == 8
    assert evidence["search"]["table"]["sub_networks"] >= 3
    assert [one["chosen"] for one in evidence["search"]["finalists"]].count(True) == 1
    assert {layer for layer, _, _ in evidence["channels_by_layer"]} >= {"stem.0", "first.0", "hidden"}
    trials = {"trial loss", "trial latency ms", "trial parameters"}
    assert set(told.curves) == {"supernet held-out loss", *trials, "training loss", "held-out loss"}


def test_its_recipe_makes_the_same_bytes_without_timing(
    found: tuple[Workshop, Optimized, Told], original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop, made, _ = found
    monkeypatch.setattr(timing.Stopwatch, "times_ms", None)
    again = workshop.apply("torch-search", original, examples(workshop), LABELLED, **made.result.parameters)
    assert again.result.digest == made.result.digest
    assert "search" not in again.result.evidence


def test_a_search_whose_worker_dies_in_a_training_goes_on_to_the_same_bytes(
    found: tuple[Workshop, Optimized, Told], original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop, made, _ = found
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_S", 0.0)
    data = examples(workshop)
    for last in (2, 14):  # In the training of the supernet, and in that of the network found.
        workshop.told = killing = Killing(last=last)
        parameters = made.result.parameters
        with pytest.raises(Killed):
            workshop.apply("torch-search", original, data, LABELLED, **parameters)
        checkpoint = workshop.root / "checkpoint"
        checkpoint.write_bytes(killing.kept[-1])
        workshop.told = Told(checkpoint=checkpoint)
        again = workshop.apply("torch-search", original, data, LABELLED, **parameters)
        assert again.result.digest == made.result.digest


def test_without_a_training_part_it_is_refused(tmp_path: Path, original: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    plain = DatasetSpec(kind="npz", task="classification")
    with pytest.raises(TrainingPartMissing):
        workshop.apply("torch-search", original, examples(workshop), plain, **SHORT)


def test_a_model_without_anything_to_choose_is_refused(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    model = exported(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).eval(), tmp_path / "flat.pt2", (3, 8, 8))
    with pytest.raises(TechniqueNothingToSearch) as caught:
        workshop.apply("torch-search", model, examples(workshop), LABELLED, **SHORT)
    assert "no layer can lose channels" in caught.value.message


def test_a_space_of_a_few_sub_networks_is_searched_and_says_how_many_checked_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "CORRECTING", 24)
    monkeypatch.setattr(search, "CHECKING", 24)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 4096), nn.ReLU(), nn.Linear(4096, 5))
    workshop = Workshop(tmp_path, "torch-export")
    model = exported(layers.eval(), tmp_path / "flat.pt2", (3, 8, 8))
    made = workshop.apply("torch-search", model, examples(workshop), LABELLED, **{**SHORT, "latency_left": 0.95})
    told = made.result.evidence["search"]
    assert 2 <= told["sub_networks"] <= 8
    assert told["table"]["sub_networks"] == (told["sub_networks"] - 2) // 2
    assert told["trials_made"] <= told["sub_networks"]


def test_a_model_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    code = torch_uploads.CODE.replace(
        "return self.head(torch", "if x.sum() > 0:\n            x = -x\n        return self.head(torch"
    )
    workshop = Workshop(tmp_path, "state-dict")
    model = torch_uploads.described_zip(tmp_path / "model.zip", {"model.py": code})
    with pytest.raises(TechniqueNotTraceable) as caught:
        workshop.apply("torch-search", model, examples(workshop), LABELLED, **SHORT)
    assert "cannot be traced: it cannot be exported" in caught.value.message


def test_a_network_that_the_model_does_not_have_is_refused(tmp_path: Path, original: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    with pytest.raises(TechniqueParameters) as caught:
        workshop.apply("torch-search", original, examples(workshop), LABELLED, **SHORT, network=["width:no=8"])
    assert "names no choice of this model; it has width:stem.0" in caught.value.message


def test_it_learns_from_the_original_without_labels(tmp_path: Path, original: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    given = {**SHORT, "network": ["width:hidden=16", "block:first.0=0"]}
    made = workshop.apply("torch-search", original, workshop.examples(x=pictures()), UNLABELLED, **given)
    assert made.result.evidence["held_out_accuracy"] is None
    assert made.result.evidence["chosen"] == {"block:first.0": "0"}


def test_measured_costs_choose_what_widths_are_multiples_of(tmp_path: Path, original: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    given = {**SHORT, "round_to": 0, "network": ["width:hidden=16"]}
    made = workshop.apply("torch-search", original, examples(workshop), LABELLED, **given)
    told = made.result.evidence["rounding"]
    assert made.result.parameters["round_to"] == told["multiple"]
    assert min(told["ms_per_million_macs"].values()) > 0
