"""A model as inspection sees it: its inputs, outputs, weights and operators."""

from __future__ import annotations

from apps.agents.contracts.values import Value

MOST_WEIGHTS = 2000


class Quantized(Value):
    """How a file takes or gives real numbers: as whole numbers `q` that stand for `scale * (q - zero_point)`."""

    dtype: str
    scale: float
    zero_point: int


class TensorSpec(Value):
    """One input or output. A dynamic axis is its name (`"batch"`), or `None` where the file gives none."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    quantized: Quantized | None = None
    """Where the file itself holds whole numbers in place of the `dtype`; callers convert at its border."""

    def __str__(self) -> str:
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name}: {self.dtype}[{axes}]"


class CodeFile(Value):
    """Code that came with a model, as it was uploaded. It runs in the worker's child only."""

    name: str
    text: str


class LanguageModel(Value):
    """What is known of a model that reads texts, from its folder's configuration."""

    architecture: str
    """The class, such as `LlamaForCausalLM`."""
    generative: bool
    """Whether it predicts the next token."""
    context_length: int | None = None
    """Tokens."""
    vocabulary: int | None = None
    tied_embeddings: bool = False
    """Whether the output head is the embedding table."""
    embedding_parameters: int = 0
    """Of the token table, once."""
    tokenizer: bool = False
    """Whether a tokenizer came with it; without one no text can be fed."""


class Interface(Value):
    """What a model takes and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Signature(Value):
    """One function of a model that offers several, such as a SavedModel."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ModelSummary(Value):
    """A model as inspection sees it."""

    format: str
    producer: str
    opset: int | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    size_bytes: int
    operators: dict[str, int]
    weight_dtypes: dict[str, int] = {}
    """Parameters by element type: a model that is quantized already shows here."""
    weights: tuple[TensorSpec, ...] = ()
    """Stored tensors with their shapes, where the format names them; at most `MOST_WEIGHTS`."""
    language: LanguageModel | None = None
    quantization: str | None = None
    """How it says that it was quantized, such as `bitsandbytes nf4`; the `weight_dtypes` alone would not tell."""
    code: tuple[CodeFile, ...] = ()
    signature: str | None = None
    """Which of `signatures` the inputs, outputs, weights and operators are of."""
    signatures: tuple[Signature, ...] = ()
    """Every function that the model offers, where its format has more than one place for them."""
    notes: tuple[str, ...] = ()
    """What inspection found worth saying without refusing the file, each a sentence."""

    @property
    def interface(self) -> Interface:
        return Interface(inputs=self.inputs, outputs=self.outputs)
