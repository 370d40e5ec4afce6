"""Checkpoints as training leaves them: wrapped, averaged, beside an optimizer; and what fits no architecture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from apps.agents.backends.torch import checkpoints, run
from apps.agents.backends.torch.checkpoints import Wanted, fit
from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.backends.torch.inspection import inspect
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.torch_models import StateDictExpected, WeightsUnfit
from tests.agents.torch_uploads import described_zip, network

OWN = network().state_dict()
OTHER = {name: tensor + 1 for name, tensor in OWN.items()}


def behind(prefix: str, tensors: dict[str, torch.Tensor] = OWN) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def trained() -> dict[str, Any]:
    """What an optimizer keeps of the network after a step."""
    module = network()
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


CHECKPOINTS: dict[str, tuple[Any, str]] = {
    "as it is": (OWN, ""),
    "data parallel": (behind("module."), "module. was removed"),
    "compiled": (behind("_orig_mod."), "_orig_mod. was removed"),
    "both": (behind("module._orig_mod."), "module._orig_mod. was removed"),
    "lightning": (
        {
            "epoch": 3,
            "pytorch-lightning_version": "2.5",
            "hyper_parameters": {"lr": 0.1, "names": ["a"]},
            "state_dict": {**behind("model."), "criterion.weight": torch.ones(5)},
            "optimizer_states": [trained()],
        },
        "criterion.weight",
    ),
    "lightning, compiled": ({"state_dict": behind("model._orig_mod.")}, "model._orig_mod. was removed"),
    "lightning's net": ({"state_dict": behind("net.")}, "net. was removed"),
    "beside an optimizer": ({"model": OWN, "optimizer": trained(), "step": 7, "loss": 0.5}, "those under model"),
    "averaged": ({"state_dict_ema": behind("module.")}, "under state_dict_ema"),
    "averaged beside": ({"state_dict": OWN, "state_dict_ema": behind("module.", OTHER)}, "not used: those under"),
    "ema of a library": ({**behind("ema_model."), "initted": torch.tensor(1), "step": torch.tensor(9)}, "ema_model."),
    "model_ema": ({"model_ema": OWN}, "under model_ema"),
    "swa": ({**behind("module."), "n_averaged": torch.tensor(3)}, "Left out"),
    "network and copy": ({**OWN, **behind("ema_model.", OTHER)}, "that begin with ema_model."),
    "deeper": ({"ema": {"state_dict": behind("module.")}}, "under ema.state_dict"),
    "part of it wrapped": (
        {name.replace("head.", "head._orig_mod."): tensor for name, tensor in OWN.items()},
        "_orig_mod. was removed",
    ),
    "with other values": ({**OWN, "epoch": 4, "note": "best"}, ""),
}


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_are_found_and_what_was_done_for_it_is_said(name: str, tmp_path: Path) -> None:
    content, said = CHECKPOINTS[name]
    path = described_zip(tmp_path / "model.zip", {"weights.pt": saved(content)})
    summary = inspect(path, tmp_path)
    assert said in " ".join(summary.notes)
    assert bool(summary.notes) == bool(said)
    assert {spec.name for spec in summary.weights} == OWN.keys()
    images = torch.ones(2, 3, 8, 8)
    given = TorchEngine(path, tmp_path).session(Target())({"x": images.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(given), network()(images), check_dtype=False)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_script_of_a_package_finds_the_same_weights(name: str) -> None:
    module = network()
    found = run.own_weights(CHECKPOINTS[name][0], {key: value.shape for key, value in OWN.items()}, set())
    module.load_state_dict(found)
    assert all(torch.equal(tensor, OWN[key]) for key, tensor in module.state_dict().items())


def test_the_script_of_a_package_knows_the_same_words() -> None:
    assert (run.PREFIXES, run.INFIXES) == (checkpoints.PREFIXES, checkpoints.INFIXES)


def test_a_part_that_is_called_as_a_wrapper_keeps_its_name() -> None:
    shapes = {"module.weight": (2, 3), "model.bias": (2,)}
    found = fit(Wanted(shapes), {"": shapes})
    assert (found.reason, found.notes, found.reading.names.keys()) == ("", (), shapes.keys())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": behind("model.backbone.")}, "not stored: convolution.weight"),
        ({**behind("module."), "module.extra": torch.ones(1)}, r"not part of it: extra \(module\. was removed from"),
        (behind("model.", {**OWN, "head.weight": torch.ones(7, 8)}), r"head\.weight \[7, 8\] instead of \[5, 8\]"),
        ({**OWN, "extra.weight": torch.ones(1)}, "not part of it: extra.weight"),
    ],
    ids=["unknown prefix", "more", "shape", "more without a prefix"],
)
def test_weights_that_fit_in_no_way_are_refused_as_the_nearest_way_tells_it(
    content: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsUnfit, match=said):
        inspect(described_zip(tmp_path / "model.zip", {"weights.pt": saved(content)}), tmp_path)


def test_a_checkpoint_without_a_named_tensor_is_no_state_dict(tmp_path: Path) -> None:
    with pytest.raises(StateDictExpected, match="dict without named tensors"):
        inspect(described_zip(tmp_path / "model.zip", {"weights.pt": saved({"epoch": 3})}), tmp_path)


def test_an_optimizers_state_is_no_part_of_the_size(tmp_path: Path) -> None:
    beside = saved({"model": OWN, "optimizer": trained(), "averages": [tensor.clone() for tensor in OWN.values()]})
    sizes = [
        inspect(described_zip(tmp_path / f"{number}.zip", {"weights.pt": content}), tmp_path).size_bytes
        for number, content in enumerate((saved(OWN), beside))
    ]
    assert sizes[0] == sizes[1]


def test_weights_that_are_tied_are_taken_under_each_of_their_names(tmp_path: Path) -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    shapes = {name: tuple(tensor.shape) for name, tensor in nn.Sequential(first, second).state_dict().items()}
    wanted = Wanted(shapes, frozenset({"1.weight"}))
    without = {name: shape for name, shape in shapes.items() if name != "1.weight"}
    assert not fit(wanted, {"": shapes}).reason
    assert not fit(wanted, {"": {f"module.{name}": shape for name, shape in without.items()}}).reason
