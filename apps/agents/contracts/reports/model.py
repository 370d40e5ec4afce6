"""A model as inspection describes it: its inputs, outputs, weights and operators."""

from __future__ import annotations

from apps.agents.contracts.values import Value

MOST_WEIGHTS = 2000


class Quantized(Value):
    """How integers `q` of a file represent real numbers: `scale * (q - zero_point)`."""

    dtype: str
    scale: float
    zero_point: int


class TensorSpec(Value):
    """One input or output. A dynamic axis is its name (`"batch"`), or `None` if the file does not name it."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    quantized: Quantized | None = None
    """Set if the file itself takes or returns integers instead of `dtype`. Callers convert before and after the run."""

    def __str__(self) -> str:
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name}: {self.dtype}[{axes}]"


class CodeFile(Value):
    """Code that was uploaded with a model, unchanged. It runs only in the worker's child process."""

    name: str
    text: str


class LanguageModel(Value):
    """Facts about a model that reads texts, from the configuration in its folder."""

    architecture: str
    """The class, such as `LlamaForCausalLM`."""
    generative: bool
    """Whether it predicts the next token."""
    context_length: int | None = None
    """In tokens."""
    vocabulary: int | None = None
    tied_embeddings: bool = False
    """Whether the output head is the embedding table."""
    embedding_parameters: int = 0
    """The parameters of the token table, counted once."""
    tokenizer: bool = False
    """Whether the folder has a tokenizer. Without one the model cannot read texts."""


class Interface(Value):
    """What a model takes and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Signature(Value):
    """One function of a model that has several, such as a SavedModel."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ModelSummary(Value):
    """A model as inspection describes it."""

    format: str
    producer: str
    opset: int | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    size_bytes: int
    operators: dict[str, int]
    weight_dtypes: dict[str, int] = {}
    """Parameters by element type. They show whether the model is quantized already."""
    weights: tuple[TensorSpec, ...] = ()
    """Stored tensors with their shapes, if the format names them; at most `MOST_WEIGHTS`."""
    language: LanguageModel | None = None
    quantization: str | None = None
    """The quantization that its configuration states, such as `bitsandbytes nf4`, which `weight_dtypes` cannot show."""
    code: tuple[CodeFile, ...] = ()
    signature: str | None = None
    """The one of `signatures` to which the inputs, outputs, weights and operators belong."""
    signatures: tuple[Signature, ...] = ()
    """All functions of the model, if its format can hold several."""
    notes: tuple[str, ...] = ()
    """Remarks of inspection about a file that it accepts, one sentence each."""

    @property
    def interface(self) -> Interface:
        return Interface(inputs=self.inputs, outputs=self.outputs)
