"""What a model gives where nobody has declared it: found by running it, under its own names or those of places."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.backends.torch.inspection import inspect
from apps.agents.backends.torch.model import outputs_of
from apps.agents.backends.torch.probing import found_outputs
from apps.agents.backends.torch.returned import tensors_in
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.datasets import InterfaceUnknown
from apps.agents.contracts.errors.torch_models import OutputsReturned, OutputsUnknown
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.dataset_fit import check_against
from tests.agents.torch_uploads import CODE, DESCRIPTION, described_zip
from tests.optimization.material import DATA, MODEL

A, B, C = (torch.full((2, length), float(length)) for length in (1, 2, 3))
Pair = namedtuple("Pair", "scores boxes")


@dataclass
class Detected:
    scores: torch.Tensor
    rest: tuple[torch.Tensor, ...]
    loss: float | None = None


RETURNED: dict[str, tuple[Any, list[str]]] = {
    "tensor": (A, ["output"]),
    "tuple": ((A, B), ["output_0", "output_1"]),
    "list with others": ([A, None, 3, B], ["output_0", "output_3"]),
    "mapping": ({"logits": A, "loss": None, "hidden": B}, ["logits", "hidden"]),
    "mapping of numbers": ({0: A, 3: B}, ["output_0", "output_3"]),
    "nested": ({"heads": [A, {"x": B}], "last": C}, ["heads_0", "heads_1_x", "last"]),
    "tuple of tuples": ((A, (B, C)), ["output_0", "output_1_0", "output_1_1"]),
    "named tuple": (Pair(A, B), ["scores", "boxes"]),
    "data class": (Detected(A, (B, C)), ["scores", "rest_0", "rest_1"]),
    "output of transformers": (
        SequenceClassifierOutput(logits=A, hidden_states=(B, C)),
        ["logits", "hidden_states_0", "hidden_states_1"],
    ),
    "attributes": (SimpleNamespace(logits=A, extra="none"), ["logits"]),
    "names that are no words": ({"a b": A, "a-b": B}, ["a_b", "a_b_"]),
    "nothing": ({"loss": 1.0}, []),
}


@pytest.mark.parametrize("name", RETURNED)
def test_every_tensor_is_found_under_a_name_of_its_own(name: str) -> None:
    value, names = RETURNED[name]
    assert list(tensors_in(value)) == names
    for tensor, other in zip(tensors_in(value).values(), outputs_of(value, names), strict=True):
        assert tensor is other


@pytest.mark.parametrize(
    ("value", "names", "lengths"),
    [
        (A, ["logits"], [1]),
        ((A, B, C), ["first", "second"], [1, 2]),
        ((A, (B,)), ["first", "second"], [1, 2]),
        ({"hidden": B, "logits": A}, ["logits"], [1]),
    ],
)
def test_declared_outputs_are_taken_by_name_and_else_by_place(value: Any, names: list[str], lengths: list[int]) -> None:
    assert [tensor.shape[1] for tensor in outputs_of(value, names)] == lengths


@pytest.mark.parametrize(
    ("value", "names", "said"),
    [
        ({"scores": A}, ["logits"], "returned scores, but .* declares logits"),
        (A, ["a", "b"], "declares a, b"),
        (3, ["a"], "int"),
    ],
)
def test_other_outputs_than_were_declared_are_said(value: Any, names: list[str], said: str) -> None:
    with pytest.raises(OutputsReturned, match=said):
        outputs_of(value, names)


def found(call: Any, *shapes: tuple[int | str, ...]) -> list[str]:
    inputs = [TensorSpec(name=f"x{place}", dtype="float32", shape=shape) for place, shape in enumerate(shapes)]
    return [str(spec).partition("float32")[2] for spec in found_outputs(call, inputs)]


@pytest.mark.parametrize(
    ("call", "shapes", "axes"),
    [
        (lambda x: x[0].mean(1), [("batch", "time", 4)], "[batch, 4]"),
        (lambda x: x[0].mean(2), [("batch", "time", 4)], "[batch, time]"),
        (lambda x: x[0].flatten(), [("batch", 4)], "[?]"),
        (lambda x: x[0][:, ::2], [("batch", "time")], "[batch, ?]"),
        (lambda x: x[0][x[0] > 0], [("batch", 4)], "[?]"),
        (lambda x: x[0].sum(), [("batch", 4)], "[]"),
        (lambda x: x[0].transpose(0, 1), [("batch", "time")], "[time, batch]"),
        (lambda x: x[0].view(1, 4) @ torch.ones(4, 3), [("batch", 4)], "[1, 3]"),
        (lambda x: x[0] + x[1].sum(1, keepdim=True), [("batch", 4), ("batch", "other")], "[batch, 4]"),
    ],
    ids=["fixed", "free", "joined", "half", "of the numbers", "none", "turned", "traced for one", "two inputs"],
)
def test_free_axes_are_told_apart_by_running_in_other_sizes(call: Any, shapes: list[Any], axes: str) -> None:
    assert found(call, *shapes) == [axes]


class Two(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return x.mean(1), {"hidden": x * 2}


def test_a_script_of_nested_outputs_runs_under_the_names_that_inspection_has_found(tmp_path: Path) -> None:
    interface = '[[input]]\nname = "x"\nshape = ["batch", "time"]\n'
    torch.jit.save(torch.jit.script(Two()), str(tmp_path / "m.pt"), _extra_files={"lathe.toml": interface})
    names = [(spec.name, spec.shape) for spec in inspect(tmp_path / "m.pt", tmp_path).outputs]
    assert names == [("output_0", ("batch",)), ("output_1_hidden", ("batch", "time"))]
    first, second = TorchEngine(tmp_path / "m.pt", tmp_path).session(Target())({"x": np.ones((3, 5), np.float32)})
    assert (first.shape, second.shape) == ((3,), (3, 5))


def test_an_upload_that_gives_nothing_or_fails_is_refused_with_what_happened(tmp_path: Path) -> None:
    empty = CODE.replace("return self.head(torch.relu(self.convolution(x)).mean((2, 3)))", "return {'loss': 1.0}")
    with pytest.raises(OutputsUnknown, match="returns a dict, which contains no tensor"):
        inspect(described_zip(tmp_path / "a.zip", {"model.py": empty}), tmp_path)
    with pytest.raises(OutputsUnknown, match="4 channels"):
        inspect(described_zip(tmp_path / "b.zip", {"lathe.toml": DESCRIPTION.replace("3, 8, 8", "4, 8, 8")}), tmp_path)


@pytest.mark.parametrize(("lacking", "said"), [("outputs", "gives"), ("inputs", "takes")])
def test_a_model_of_which_nothing_is_known_to_come_out_or_go_in_is_refused_before_a_session(
    lacking: str, said: str
) -> None:
    with pytest.raises(InterfaceUnknown, match=f"what the model {said}"):
        check_against(MODEL.model_copy(update={lacking: ()}), DATA)
