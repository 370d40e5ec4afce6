"""Each operator of an ONNX graph in PyTorch, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from apps.agents.backends.torch.onnx_graph.module import GraphModule
from apps.agents.backends.torch.onnx_graph.operators import OPERATORS
from apps.agents.contracts.errors.training import OperatorNotRebuilt
from apps.agents.techniques.knowledge.onnx_training import REBUILT

OPSET = 21
CLOSE = 1e-5
"""As a share of the output's largest number: one operator adds at most some hundred numbers in another order."""


def floats(*shape: int, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> NDArray[Any]:
    return np.abs(floats(*shape)) + 0.5


def whole(*values: int) -> NDArray[Any]:
    return np.array(values, np.int64)


@dataclass(frozen=True)
class Case:
    """One node; the first inputs are fed, the `stored` ones are in the graph."""

    op_type: str
    fed: tuple[NDArray[Any], ...]
    stored: tuple[NDArray[Any] | None, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = OPSET
    outputs: int = 1

    def model(self) -> onnx.ModelProto:
        fed = [f"x{place}" for place in range(len(self.fed))]
        stored = ["" if one is None else f"w{place}" for place, one in enumerate(self.stored)]
        outputs = [f"y{place}" for place in range(self.outputs)]
        node = helper.make_node(self.op_type, [*fed, *stored], outputs, name="the/node", **self.attributes)
        graph = helper.make_graph(
            [node],
            "graph",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
                for name, array in zip(fed, self.fed, strict=True)
            ],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            [
                numpy_helper.from_array(array, name)
                for name, array in zip(stored, self.stored, strict=True)
                if array is not None
            ],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)

    def feeds(self) -> dict[str, NDArray[Any]]:
        return {f"x{place}": array for place, array in enumerate(self.fed)}


IMAGE, ROWS, TOKENS = floats(2, 4, 9, 7), floats(3, 5), floats(2, 6, 8)
FLAGS = ROWS > 0
UNARY = (
    "Abs Ceil Cos Elu Erf Exp Floor Gelu GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity LeakyRelu "
    "LogSoftmax Mish Neg Relu Shape Sigmoid Sign Sin Size Softmax Softplus Softsign Tanh Flatten Transpose"
)
BINARY = "Add Sub Mul Div Max Min Sum Equal Greater GreaterOrEqual Less LessOrEqual"
REDUCED = "ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare"
POOLS: tuple[dict[str, Any], ...] = (
    {"kernel_shape": [3, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "pads": [1, 0, 1, 1], "strides": [2, 3]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
)
RESIZED: tuple[tuple[NDArray[Any] | None, ...], ...] = (
    (None, np.array([1, 1, 1.7, 2], np.float32)),
    (None, np.array([1, 1, 0.6, 0.5], np.float32)),
    (None, None, whole(2, 4, 16, 5)),
)
RESIZINGS: tuple[dict[str, Any], ...] = (
    {"mode": "linear"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "cubic"},
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
)
CASES = (
    *(Case(name, (IMAGE,)) for name in UNARY.split()),
    *(Case(name, (positive(3, 5),)) for name in ("Log", "Sqrt", "Reciprocal")),
    *(Case(name, (ROWS, floats(5, seed=1))) for name in BINARY.split()),
    *(Case(name, (FLAGS, np.roll(FLAGS, 1))) for name in ("And", "Or")),
    *(Case(name, (IMAGE,), (whole(2, -1),), {"keepdims": kept}) for name in REDUCED.split() for kept in (0, 1)),
    *(Case("MaxPool", (IMAGE,), (), attributes) for attributes in POOLS),
    *(Case("AveragePool", (IMAGE,), (), attributes) for attributes in POOLS),
    *(Case("AveragePool", (IMAGE,), (), {**attributes, "count_include_pad": 1}) for attributes in POOLS),
    Case("ReduceSum", (IMAGE,)),
    Case("ReduceSum", (IMAGE,), (), {"noop_with_empty_axes": 1}),
    Case("ReduceMean", (IMAGE,), (), {"axes": [2, 3]}, opset=13),
    Case("Not", (FLAGS,)),
    Case("Div", (whole(7, -7, 8), whole(2, 2, -3))),
    Case("Pow", (positive(3, 5),), (np.array(2.5, np.float32),)),
    Case("Pow", (ROWS,), (np.array(2, np.int64),)),
    Case("Where", (FLAGS, ROWS, floats(5, seed=2))),
    Case("Clip", (IMAGE,), (np.array(0, np.float32), np.array(0.6, np.float32))),
    Case("Clip", (IMAGE,), (None, np.array(0.6, np.float32))),
    Case("Clip", (IMAGE,), (), {"min": -0.5, "max": 0.5}, opset=7),
    Case("Cast", (ROWS,), (), {"to": TensorProto.INT64}),
    Case("Cast", (whole(0, 1, 2),), (), {"to": TensorProto.BOOL}),
    Case("Dropout", (ROWS,), (np.array(0.5, np.float32),), outputs=2),
    Case("Gelu", (ROWS,), (), {"approximate": "tanh"}),
    Case("PRelu", (IMAGE,), (positive(4, 1, 1),)),
    Case("HardSigmoid", (ROWS,), (), {"alpha": 1 / 6, "beta": 0.4}),
    Case("Elu", (ROWS,), (), {"alpha": 0.7}),
    Case("LeakyRelu", (ROWS,), (), {"alpha": 0.2}),
    Case("Softmax", (TOKENS,), (), {"axis": 1}),
    Case("Softmax", (TOKENS,), (), {"axis": 1}, opset=11),
    Case("Constant", (), (), {"value": numpy_helper.from_array(ROWS)}),
    Case("Constant", (), (), {"value_floats": [1.0, 2.5]}),
    Case("Constant", (), (), {"value_int": 3}),
    Case("ConstantOfShape", (whole(2, 3),), (), {"value": numpy_helper.from_array(np.array([1.5], np.float32))}),
    Case("Shape", (IMAGE,), (), {"start": 1, "end": -1}),
    Case("Range", (np.array(2, np.int64), np.array(11, np.int64), np.array(3, np.int64))),
    Case("Reshape", (IMAGE,), (whole(0, -1, 7),)),
    Case("Reshape", (IMAGE,), (whole(8, 63),), {"allowzero": 1}),
    Case("Flatten", (IMAGE,), (), {"axis": -1}),
    Case("Transpose", (IMAGE,), (), {"perm": [0, 2, 3, 1]}),
    Case("Concat", (ROWS, floats(3, 2)), (), {"axis": -1}),
    Case("Split", (TOKENS,), (whole(3, 5),), {"axis": 2}, outputs=2),
    Case("Split", (TOKENS,), (), {"axis": 2, "num_outputs": 3}, outputs=3),
    Case("Split", (TOKENS,), (), {"axis": 2, "split": [2, 6]}, opset=11, outputs=2),
    Case("Slice", (IMAGE,), (whole(1, -3), whole(2**62, 2**62), whole(2, 3))),
    Case("Slice", (IMAGE,), (whole(-1), whole(-(2**62)), whole(2), whole(-2))),
    Case("Slice", (IMAGE,), (), {"starts": [0, 1], "ends": [1, 3]}, opset=9),
    Case("Squeeze", (floats(2, 1, 3, 1),), (whole(1),)),
    Case("Squeeze", (floats(2, 1, 3, 1),)),
    Case("Squeeze", (floats(2, 1, 3, 1),), (), {"axes": [3]}, opset=11),
    Case("Unsqueeze", (ROWS,), (whole(0, -1),)),
    Case("Unsqueeze", (ROWS,), (), {"axes": [1]}, opset=11),
    Case("Gather", (ROWS, whole(0, 2, -1, 1).reshape(2, 2))),
    Case("Gather", (TOKENS,), (whole(0, -1),), {"axis": 1}),
    Case("Gather", (TOKENS,), (np.array(2, np.int64),), {"axis": 1}),
    Case("Expand", (floats(3, 1),), (whole(2, 1, 4),)),
    Case("Tile", (ROWS,), (whole(2, 3),)),
    Case("Trilu", (TOKENS,), (np.array(1, np.int64),), {"upper": 0}),
    Case("Trilu", (TOKENS,)),
    Case("DepthToSpace", (IMAGE,), (), {"blocksize": 2}),
    Case("DepthToSpace", (IMAGE,), (), {"blocksize": 2, "mode": "CRD"}),
    Case("Pad", (IMAGE,), (whole(0, 1, 2, 0, 0, 0, 1, -1), np.array(1.5, np.float32))),
    Case("Pad", (IMAGE,), (whole(1, 2, 2, 1), None, whole(2, 3)), {"mode": "reflect"}),
    Case("Pad", (IMAGE,), (whole(0, 0, 2, 0, 0, 0, 1, 1),), {"mode": "edge"}),
    *(Case("Resize", (IMAGE,), given, attributes) for given in RESIZED for attributes in RESIZINGS),
    Case("Resize", (IMAGE,), (None, None, whole(12, 5)), {"mode": "linear", "axes": [2, 3]}),
    Case("Resize", (TOKENS,), (None, np.array([1, 1, 1.5], np.float32)), {"mode": "linear"}),
    Case("MatMul", (TOKENS,), (floats(8, 5),)),
    Case("Gemm", (ROWS,), (floats(6, 5), floats(6)), {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (floats(5, 3),), (floats(5, 6),), {"transA": 1}),
    Case("Einsum", (TOKENS,), (floats(8, 5),), {"equation": "btd,de->bte"}),
    Case("Conv", (IMAGE,), (floats(6, 4, 3, 3), floats(6)), {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
    Case("Conv", (IMAGE,), (floats(6, 4, 3, 3),), {"pads": [0, 1, 2, 1], "dilations": [2, 1]}),
    Case("Conv", (IMAGE,), (floats(4, 1, 3, 3),), {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("Conv", (TOKENS,), (floats(3, 6, 3), floats(3)), {"auto_pad": "VALID"}),
    Case("Conv", (floats(1, 2, 4, 5, 6),), (floats(3, 2, 2, 2, 2),)),
    Case(
        "ConvTranspose",
        (IMAGE,),
        (floats(4, 3, 3, 3), floats(6)),
        {"group": 2, "strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]},
    ),
    Case("MaxPool", (IMAGE,), (), {"kernel_shape": [2, 2], "dilations": [2, 2]}),
    Case("MaxPool", (TOKENS,), (), {"kernel_shape": [2]}),
    Case("BatchNormalization", (IMAGE,), (floats(4), floats(4), floats(4), positive(4)), {"epsilon": 1e-3}),
    Case("LayerNormalization", (TOKENS,), (floats(8), floats(8)), {"epsilon": 1e-3}),
    Case("LayerNormalization", (TOKENS,), (floats(6, 8),), {"axis": 1}),
    Case("RMSNormalization", (TOKENS,), (floats(8),), opset=23),
    Case("InstanceNormalization", (IMAGE,), (floats(4), floats(4))),
    Case("GroupNormalization", (IMAGE,), (floats(4), floats(4)), {"num_groups": 2}),
)


def same(case: Case, module: GraphModule) -> None:
    """Raises where the outputs are not those of ONNX Runtime."""
    session = ort.InferenceSession(case.model().SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, case.feeds())
    given = module(**{name: torch.from_numpy(array) for name, array in case.feeds().items()})
    for expected, tensor in zip(wanted, given.values(), strict=True):
        found = tensor.detach().numpy()
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        largest = float(np.abs(expected.astype(np.float64)).max(initial=0.0))
        np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * max(largest, 1e-3))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op_type)
def test_an_operator_gives_the_outputs_of_onnx_runtime(case: Case) -> None:
    module = GraphModule(case.model())
    same(case, module.eval())
    module.train()
    for norm in module.norms.values():
        norm.eval()
    same(case, module)


def test_every_operator_that_the_plan_knows_has_a_function_and_a_case() -> None:
    assert set(OPERATORS) == REBUILT == {case.op_type for case in CASES}


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Case("GridSample", (IMAGE, floats(2, 3, 3, 2))), "GridSample at the/node .*there is no counterpart"),
        (Case("AveragePool", (IMAGE,), (), {"kernel_shape": [2, 2], "dilations": [2, 2]}), "its windows are dilated"),
        (Case("MaxPool", (IMAGE,), (), {"kernel_shape": [2, 2]}, outputs=2), "its output y1 is not computed here"),
        (Case("Pad", (IMAGE,), (whole(1, 1), None, whole(2)), {"mode": "wrap"}), "with the mode wrap"),
        (Case("Relu", (IMAGE,), (), {"alpha": 1.0}), "its attribute alpha is not known"),
        (
            Case("BatchNormalization", (IMAGE,), tuple(positive(4) for _ in range(4)), {"training_mode": 1}),
            "it uses the statistics of the batch",
        ),
        (Case("BatchNormalization", (IMAGE, *(positive(4) for _ in range(4)))), "its statistics are computed"),
        (Case("Resize", (IMAGE,), RESIZED[0]), "its nearest pixel is found by half_pixel"),
        (Case("Resize", (IMAGE,), RESIZED[0], {"mode": "linear", "antialias": 1}), "weighs pixels in a way"),
        (
            Case("Resize", (IMAGE,), RESIZED[0], {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}),
            "its pixels are placed by asymmetric",
        ),
        (Case("Resize", (IMAGE,), (None, None, whole(2, 8, 9, 7)), {"mode": "linear"}), "the number of examples or ch"),
        (Case("ConvTranspose", (IMAGE,), (floats(4, 3, 3, 3),), {"auto_pad": "SAME_UPPER"}), "computes its padding"),
    ],
    ids=lambda value: value.op_type if isinstance(value, Case) else "",
)
def test_what_is_not_known_is_refused_by_name(case: Case, said: str) -> None:
    with pytest.raises(OperatorNotRebuilt, match=said) as refused:
        GraphModule(case.model()).eval()(**{name: torch.from_numpy(array) for name, array in case.feeds().items()})
    assert refused.value.code == "training.operator_not_rebuilt"
    assert "the/node cannot be rebuilt in PyTorch, so the model cannot be trained" in refused.value.message


def test_a_number_type_that_pytorch_lacks_is_refused() -> None:
    names = np.array([b"a", b"b"], dtype=object)
    with pytest.raises(OperatorNotRebuilt, match="w0 has a number type that PyTorch does not have"):
        GraphModule(Case("Identity", (), (names,)).model())


def test_statistics_that_are_also_a_bias_are_refused() -> None:
    """Exporters store equal tensors once, and the two would learn different numbers."""
    model = Case("BatchNormalization", (IMAGE,), (floats(4), floats(4), floats(4), positive(4))).model()
    model.graph.node[0].input[3] = model.graph.node[0].input[2]
    with pytest.raises(OperatorNotRebuilt, match="another operator reads one of its two statistics"):
        GraphModule(model)


def test_an_operator_of_another_domain_is_refused() -> None:
    model = Case("Gelu", (ROWS,)).model()
    model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(OperatorNotRebuilt, match="it belongs to the domain"):
        GraphModule(model)
