"""Programs on another device than the one on which they were exported; `meta` is the device that every machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from apps.agents.backends.torch.anatomy import dissect
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.placing import place
from apps.agents.backends.torch.rebuilding import rebuilt
from tests.agents.torch_uploads import positions_file

IDS = torch.arange(12).reshape(2, 6)


def test_tensors_that_a_program_makes_and_its_constants_follow_it_to_a_device(tmp_path: Path) -> None:
    module = load_model(positions_file(tmp_path / "model.pt2"), tmp_path).module
    for program in (module, rebuilt(module)):
        place(program, "meta")
        assert program(IDS.to("meta")).device.type == "meta"


def test_so_do_the_modules_that_a_profile_takes_a_program_apart_into(tmp_path: Path) -> None:
    file = positions_file(tmp_path / "model.pt2")
    module = dissect(load_model(file, tmp_path), file).model.module
    assert place(module, "meta")(IDS.to("meta")).device.type == "meta"


def test_a_program_that_stays_where_it_is_computes_the_same(tmp_path: Path) -> None:
    module = load_model(positions_file(tmp_path / "model.pt2"), tmp_path).module
    wanted = module(IDS)
    assert torch.equal(place(module, "cpu")(IDS), wanted)


@pytest.mark.gpu
def test_a_program_computes_on_cuda_and_back_on_the_cpu_what_it_did(tmp_path: Path) -> None:
    module = load_model(positions_file(tmp_path / "model.pt2"), tmp_path).module
    wanted = module(IDS)
    assert torch.allclose(place(module, "cuda")(IDS.to("cuda")).cpu(), wanted, atol=1e-5)
    assert torch.equal(place(module, "cpu")(IDS), wanted)


def test_a_modules_own_tensors_follow_it_too() -> None:
    module = nn.Linear(2, 2)
    module.table = torch.ones(2)  # type: ignore[assignment]
    assert place(module, "meta").table.device.type == "meta"
