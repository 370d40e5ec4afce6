"""Every shape that a summary may have, whatever model or data set it may be of: for hypothesis to draw from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import product

from hypothesis import strategies as st
from pydantic import ValidationError

from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary, TensorSpec

NAMES = st.sampled_from(["x", "y", "logits", "input_ids", "attention_mask", "x_a", "x_b", "", "a b", "é:0", "batch"])
DTYPES = st.sampled_from(
    ["float32", "float16", "int64", "int32", "uint8", "bool", "string", "complex64", "type 99", ""]
)
AXES = st.one_of(st.sampled_from(["batch", "N", "?", "", "sequence"]), st.integers(0, 12), st.none())
TENSORS = st.builds(TensorSpec, name=NAMES, dtype=DTYPES, shape=st.lists(AXES, max_size=5).map(tuple))
QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv", "MatMulNBits")
OPERATORS = st.sampled_from(
    [*("Conv", "Gemm", "MatMul", "Gather", "Softmax", "Linear", "Conv2d", "Embedding", "aten.linear", "Dense"),
     *("CONV_2D", "FULLY_CONNECTED", "", "Custom"), *QUANTIZED]
)  # fmt: skip
LANGUAGES = st.builds(
    LanguageModel,
    architecture=st.sampled_from(["LlamaForCausalLM", "BertModel", ""]),
    generative=st.booleans(),
    context_length=st.one_of(st.none(), st.integers(0, 512)),
    vocabulary=st.one_of(st.none(), st.integers(0, 100)),
    tied_embeddings=st.booleans(),
    embedding_parameters=st.sampled_from([0, 1, 64, 10**9]),
    tokenizer=st.booleans(),
)
MODELS = st.builds(
    ModelSummary,
    format=st.sampled_from([one.value for one in Format]),
    producer=NAMES,
    opset=st.one_of(st.none(), st.integers(0, 40)),
    inputs=st.lists(TENSORS, max_size=3).map(tuple),
    outputs=st.lists(TENSORS, max_size=3).map(tuple),
    parameters=st.sampled_from([0, 1, 1000, 2**40]),
    size_bytes=st.sampled_from([0, 1, 4000, 2**40]),
    operators=st.dictionaries(OPERATORS, st.integers(0, 3), max_size=4),
    weight_dtypes=st.dictionaries(DTYPES, st.integers(0, 2**40), max_size=3),
    weights=st.lists(TENSORS, max_size=3).map(tuple),
    language=st.one_of(st.none(), LANGUAGES),
    quantization=st.one_of(st.none(), st.sampled_from(["", "awq 4 bit", "bitsandbytes nf4"])),
    notes=st.lists(NAMES, max_size=1).map(tuple),
)
DATASETS = st.builds(
    DatasetSummary,
    kind=st.sampled_from([one.value for one in DatasetKind]),
    task=st.sampled_from(list(Task)),
    examples=st.sampled_from([0, 1, 60, 10_000]),
    inputs=st.lists(TENSORS, max_size=3).map(tuple),
    labels=st.one_of(st.none(), TENSORS),
    classes=st.lists(st.sampled_from(["0", "1", "cat", ""]), max_size=3).map(tuple),
)


def _valid_specs() -> Iterator[DatasetSpec]:
    for kind, task, output, pooling in product(DatasetKind, Task, (None, "logits", "z", ""), ("none", "mean")):
        with suppress(ValidationError):
            yield DatasetSpec.model_validate({"kind": kind, "task": task, "output": output, "pooling": pooling})


SPECS = st.sampled_from(list(_valid_specs()))


def of_spec(dataset: DatasetSummary, spec: DatasetSpec) -> DatasetSummary:
    """`dataset` as one that was read by `spec`."""
    return dataset.model_copy(update={"kind": spec.kind.value, "task": spec.task})


def fitting(model: ModelSummary, dataset: DatasetSummary) -> DatasetSummary:
    """`dataset` with what the model takes, so that a check goes further than the first input."""
    inputs = tuple(one.model_copy(update={"shape": ("N", *one.shape[1:])}) for one in model.inputs)
    return dataset.model_copy(update={"inputs": inputs, "examples": 100})
