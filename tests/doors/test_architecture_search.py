"""A PyTorch program from its upload to a verdict on networks that were searched for in it, by several workers."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.searching import Portion
from apps.agents.contracts.state import Status
from apps.models import clock
from apps.optimization import live, messages
from apps.optimization.models import OptimizationSession, SearchTrial, SessionStep, Worker
from tests.agents.backends.architecture.attending import WIDTH, Attending, Library
from tests.agents.workshop import FASHION
from tests.door import API, Door, quick, told
from tests.doors.test_torch_training import data, trained
from tests.optimization import crank

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.nightly]

SEARCH = {"steps": 20, "final_steps": 20, "trials": 8, "batch": 4, "latency_left": 0.7, "round_to": 8, "threads": 1}


def question(
    door: Door, model: Path, *places: int, pictures: Path | None = None, share: float = 0.4, **changes: object
) -> dict[str, object]:
    """A session that tries only what a search finds, for each of `places` one candidate."""
    version = door.model(model)
    spec = {"kind": "npz", "task": "classification", "label": "y", "training_share": share}
    dataset = door.data(pictures or data(), spec, "data.npz")
    budget = Budget(minutes=10.0, candidates=len(places))
    criteria = quick("torch-search", budget=budget).model_dump(mode="json")
    added = [[{"technique": "torch-search", "parameters": {**SEARCH, **changes, "place": place}}] for place in places]
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria": criteria, "seed": 7, "start_anyway": True}
    return door.post("sessions", {**asked, "edits": {"added": added}})


def portions(session: OptimizationSession) -> list[SessionStep]:
    return list(session.steps.filter(kind="trials"))


@pytest.mark.timeout(1200)
def test_a_network_is_searched_for_judged_and_packed_with_its_recipe(door: Door, tmp_path: Path) -> None:
    made = question(door, trained(tmp_path / "model.pt2"), 1)
    crank.turn_until_quiet(limit=200)

    session = OptimizationSession.objects.get(pk=made["id"])
    assert session.status == Status.COMPLETED, told(session)
    step = session.steps.get(kind="optimize", technique="torch-search")
    evidence = step.result["evidence"]
    assert evidence["macs_after"] < evidence["macs_before"], told(session)
    assert len(step.curves["trial loss"]) == evidence["search"]["trials_made"] == 8
    assert session.steps.filter(kind="evaluate", status=Status.COMPLETED).exists()
    rows = SearchTrial.objects.filter(session=session).order_by("number")
    assert [row.number for row in rows] == list(range(1, 9))
    assert [round(row.loss, 5) for row in rows] == [one["loss"] for one in evidence["search"]["trials"]]
    finals = {one["trial"]: one["alone_loss"] for one in evidence["search"]["finalists"]}
    assert {row.number: round(row.alone_loss or 0, 5) for row in rows if row.state == "trained"} == finals
    page = door.client.get(f"{API}/sessions/{session.pk}/report/").content.decode()
    assert "within_ten_percent" in page
    recipe = door.client.get(f"{API}/sessions/{session.pk}/recipe/", {"step": step.key}).json()
    assert [one["technique"] for one in recipe["steps"]] == ["torch-search"]
    assert recipe["steps"][-1]["parameters"]["network"] == step.result["parameters"]["network"]
    with ZipFile(io.BytesIO(door.package(session))) as package:
        assert any(name.endswith(".pt2") for name in package.namelist())


@pytest.mark.timeout(1800)
def test_two_workers_share_a_search_one_dies_and_the_two_best_are_judged(door: Door, tmp_path: Path) -> None:
    made = question(door, trained(tmp_path / "model.pt2"), 1, 2)
    for number in range(2):
        Worker.objects.create(name=f"shed:{number}", queues=["cpu"], seen_at=clock.now() + timedelta(hours=1))
    session = OptimizationSession.objects.get(pk=made["id"])
    while not portions(session):
        assert crank.turn(), told(session)
    asked = [Portion.model_validate(one.parameters["portion"]) for one in portions(session)]
    assert [(one.share, one.of, one.generations) for one in asked] == [(0, 2, 1), (1, 2, 1)]

    next(iter(crank.messages("cpu")))  # The first worker dies with its step in hand: its message is lost.
    crank.turn("cpu")
    scored = SearchTrial.objects.filter(session=session)
    assert scored.count() == 2
    shown = live.fragments(session, writes=False)["curves"]
    assert shown.count("front-point") == 2
    for step in session.steps.filter(status=Status.QUEUED):
        messages.send_step(step)
    crank.turn_until_quiet(limit=300)

    session.refresh_from_db()
    assert session.status == Status.COMPLETED, told(session)
    assert session.steps.filter(kind="supernet").count() == 1
    assert {one.status for one in portions(session)} == {Status.COMPLETED}
    found = [step.result["parameters"]["network"] for step in session.steps.filter(kind="optimize").order_by("key")]
    assert len(found) == 2
    assert found[0] != found[1]
    assert session.steps.filter(key__endswith="/evaluate", status=Status.COMPLETED).count() == 2


class Pixels(Attending):
    """Raw pixels of the sample's pictures, [N, 1, 28, 28] from 0 to 255, to ten logits."""

    def __init__(self) -> None:
        super().__init__(Library, channels=1, side=7, classes=10)
        self.places = nn.Parameter(torch.zeros(16, WIDTH))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows = self.patches(image / 255).flatten(2).transpose(1, 2) + self.places
        return self.head(self.layers(rows).mean(1))  # type: ignore[no-any-return]


def transformer(path: Path) -> Path:
    """Trained on the second half of the sample's pictures."""
    torch.manual_seed(0)
    with np.load(FASHION) as held:
        images = torch.from_numpy(held["image"][2000:]).float()
        labels = torch.from_numpy(held["y"][2000:])
    module, optimizer = (made := Pixels().train()), torch.optim.AdamW(made.parameters(), 0.003)
    for _ in range(150):
        chosen = torch.randint(len(images), (128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    program = torch.export.export(module.eval(), (images[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path)
    return path


@pytest.mark.timeout(1200)
def test_heads_of_a_transformer_are_searched_on_real_pictures(door: Door, tmp_path: Path) -> None:
    changes = {"latency_left": 0.9, "steps": 60, "final_steps": 120, "learning_rate": 0.002}
    made = question(door, transformer(tmp_path / "model.pt2"), 1, pictures=FASHION, **changes)
    crank.turn_until_quiet(limit=200)

    session = OptimizationSession.objects.get(pk=made["id"])
    assert session.status == Status.COMPLETED, told(session)
    step = session.steps.get(kind="optimize", technique="torch-search")
    heads = [name for name in step.result["parameters"]["network"] if name.startswith("heads:")]
    assert len(heads) == 2
    tried = {name for row in SearchTrial.objects.filter(session=session) for name in row.network if "heads:" in name}
    assert len(tried) > 2
    evidence = step.result["evidence"]
    assert evidence["macs_after"] < evidence["macs_before"]
    assert evidence["parameters_after"] < evidence["parameters_before"]
    report = session.candidates.get().evaluation.body
    assert report["metrics"][0]["candidate"]["value"] > 50.0, told(session)
