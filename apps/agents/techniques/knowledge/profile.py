"""A model as planning sees it: its time and bytes by operator, its sensitive operators, and the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary
from apps.agents.techniques.knowledge.kernels import KINDS, PRIOR_NOISE, Kind

HEAVY = frozenset({Kind.CONVOLUTION, Kind.DEPTHWISE, Kind.PRODUCT})
_MATRIX_PRODUCTS = frozenset({"MatMul", "FusedMatMul", "Gemm"})
_FLOATS = {16: ("float16", "bfloat16"), 32: ("float32",), 64: ("float64",)}
"""Bits of number types."""
_HEAVY_SHARE = 0.85
"""The share of the time that convolutions and products are assumed to take if nothing was measured."""


@dataclass(frozen=True)
class Node:
    """One operator. `noise` is its noise-to-signal ratio if only it is quantized; `None` means unknown."""

    name: str
    op_type: str
    kind: Kind
    weight_bytes: int
    time_share: float
    noise: float | None = None
    bits: float = 32.0
    """The bits of a stored weight."""
    spread: float | None = None
    """The range of the weights of a large output channel over that of a small one; `None` if unknown."""
    head: bool = False
    """Whether it is the output head of a language model, which quantizations of PyTorch modules leave in float."""


@dataclass(frozen=True)
class Lead:
    """How much faster and smaller this form is than the session's original: ratios original over this form."""

    speedup: float = 1.0
    size_ratio: float = 1.0


@dataclass(frozen=True)
class GraphProfile:
    """One form of a model: the original, or its export, whose nodes are operators instead of modules."""

    size_bytes: int
    nodes: tuple[Node, ...]
    operator_noise: Mapping[str, float]
    """By operator type: the noise-to-signal ratio if all operators of that type are quantized, and no others."""
    flags: frozenset[str] | None
    """The instruction sets of the worker; `None` before they are known."""
    latency_ms: float | None
    measured: bool
    """Whether shares and noise come from an analysis."""
    format: str = Format.ONNX
    generative: bool = False
    """Whether it is a language model that predicts the next token."""
    perplexity: bool = False
    """Whether the metric is perplexity. Losses are then given in perplexity, otherwise in points."""
    tied: bool = False
    """Whether its output head is the token table."""
    rows: frozenset[int] = frozenset()
    """The lengths of the rows of matrices, as far as they are known. Groups of weights must divide them."""
    lead: Lead = Lead()

    @property
    def original_bytes(self) -> float:
        return self.size_bytes * self.lead.size_ratio

    @property
    def original_latency_ms(self) -> float | None:
        return None if self.latency_ms is None else self.latency_ms * self.lead.speedup

    @cached_property
    def operators(self) -> frozenset[str]:
        return frozenset(node.op_type for node in self.nodes)

    @cached_property
    def time_by_operator(self) -> Mapping[str, float]:
        shares: dict[str, float] = {}
        for node in self.nodes:
            shares[node.op_type] = shares.get(node.op_type, 0.0) + node.time_share
        return shares

    @cached_property
    def weight_bytes_by_operator(self) -> Mapping[str, int]:
        weights: Counter[str] = Counter()
        for node in self.nodes:
            weights[node.op_type] += node.weight_bytes
        return weights

    @cached_property
    def noise_by_operator(self) -> Mapping[str, float]:
        """The noise of each type: measured, else from its nodes, else as in attention networks; absent if unknown.

        A type's noise is at least that of its worst single node. A node that breaks alone (a norm whose variance is
        rounded to zero) may by chance not break while its neighbours are rounded too, but break on other examples.
        """
        noises = dict(PRIOR_NOISE) if self.attention else {}
        total: dict[str, float] = {}
        worst: dict[str, float] = {}
        for node in self.nodes:
            if node.noise is not None:
                total[node.op_type] = total.get(node.op_type, 0.0) + node.noise
                worst[node.op_type] = max(worst.get(node.op_type, 0.0), node.noise)
        noises |= total
        noises |= {op_type: max(noise, worst.get(op_type, 0.0)) for op_type, noise in self.operator_noise.items()}
        return {op_type: noise for op_type, noise in noises.items() if op_type in self.operators}

    @property
    def convolution_share(self) -> float:
        return sum(node.time_share for node in self.nodes if node.kind in (Kind.CONVOLUTION, Kind.DEPTHWISE))

    @property
    def product_share(self) -> float:
        return sum(node.time_share for node in self.nodes if node.kind is Kind.PRODUCT)

    @cached_property
    def attention(self) -> bool:
        """Whether it is an attention network: a softmax weights a following product. A softmax at the end of a
        classifier does not count."""
        if self.product_share <= self.convolution_share:
            return False
        return "Attention" in self.operators or self._softmax_within

    @property
    def _softmax_within(self) -> bool:
        """Whether a product of two computed matrices follows a softmax, or there are several softmaxes and norms."""
        softmaxes = [place for place, node in enumerate(self.nodes) if node.op_type == "Softmax"]
        if not softmaxes:
            return False
        if len(softmaxes) > 1 and "LayerNormalization" in {op.removeprefix("Skip") for op in self.operators}:
            return True
        later = self.nodes[softmaxes[0] + 1 :] if self.measured else ()
        return any(node.op_type in _MATRIX_PRODUCTS and not node.weight_bytes for node in later)

    @cached_property
    def ranking(self) -> tuple[Node, ...]:
        """The nodes, the most sensitive first. Nodes of unknown sensitivity come last, in the order of the graph."""
        return tuple(sorted(self.nodes, key=lambda node: (node.noise is None, -(node.noise or 0.0))))


def profile_of_analysis(analysis: AnalysisReport) -> GraphProfile:
    """The profile of an analysed model."""
    language = analysis.model.language
    nodes = tuple(
        Node(
            name=layer.name,
            op_type=layer.op_type,
            kind=_kind(layer),
            weight_bytes=layer.weight_bytes,
            time_share=share,
            noise=_noise(layer.sqnr_db),
            bits=_bits(layer),
            spread=layer.channel_spread,
            head=_is_head(layer, language),
        )
        for layer, share in zip(analysis.layers, _time_shares(analysis.layers), strict=True)
    )
    noises = ((entry.op_type, _noise(entry.sqnr_db)) for entry in analysis.operator_sensitivity)
    return GraphProfile(
        size_bytes=analysis.model.size_bytes,
        nodes=nodes,
        operator_noise={op_type: noise for op_type, noise in noises if noise is not None},
        flags=frozenset(flag.lower() for flag in analysis.machine.flags),
        latency_ms=analysis.latency.p50_ms,
        measured=True,
        format=analysis.model.format,
        generative=language is not None and language.generative,
        perplexity=language is not None and language.generative,
        tied=language is not None and language.tied_embeddings,
        rows=_rows(analysis.model),
    )


def profile_of_model(model: ModelSummary) -> GraphProfile:
    """The profile of a model that has not been run yet: shares from operator counts, sensitivities unknown."""
    table_bytes, tables = _tables(model)
    weighted = sum(count for op_type, count in model.operators.items() if op_type in KINDS) - tables
    heavy = sum(count for op_type, count in model.operators.items() if KINDS.get(op_type) in HEAVY)
    light = sum(model.operators.values()) - heavy
    heavy_share = 0.0 if not heavy else _HEAVY_SHARE if light else 1.0
    nodes: list[Node] = []
    for op_type, count in model.operators.items():
        if not count:
            continue
        kind = KINDS.get(op_type, Kind.OTHER)
        share = heavy_share / heavy if kind in HEAVY else (1 - heavy_share) / light
        if kind is Kind.TABLE and tables:
            weight_bytes = table_bytes // tables
        else:
            weight_bytes = (model.size_bytes - table_bytes) // weighted if op_type in KINDS else 0
        nodes += [Node("", op_type, kind, weight_bytes, share, bits=_float_bits(model))] * count
    return GraphProfile(
        size_bytes=model.size_bytes,
        nodes=tuple(nodes),
        operator_noise={},
        flags=None,
        latency_ms=None,
        measured=False,
        format=model.format,
        generative=model.language is not None and model.language.generative,
        perplexity=model.language is not None and model.language.generative,
        tied=model.language is not None and model.language.tied_embeddings,
        rows=_rows(model),
    )


def _float_bits(model: ModelSummary) -> float:
    """The mean bits of a float in an ONNX file, whose quantizations also start from halves and doubles; else 32."""
    counts = {bits: sum(model.weight_dtypes.get(name, 0) for name in names) for bits, names in _FLOATS.items()}
    total = sum(counts.values())
    if model.format != Format.ONNX or not total:
        return 32.0
    return sum(bits * count for bits, count in counts.items()) / total


def _tables(model: ModelSummary) -> tuple[int, int]:
    """The bytes of a language model's token table, and how many modules share it; zeros if unknown."""
    tables = model.operators.get("Embedding", 0)
    if model.language is None or not model.language.embedding_parameters or not tables:
        return 0, 0
    bytes_each = model.size_bytes / max(1, model.parameters)
    return min(model.size_bytes, int(model.language.embedding_parameters * bytes_each)), tables


def _rows(model: ModelSummary) -> frozenset[int]:
    matrices = (tensor.shape for tensor in model.weights if len(tensor.shape) == 2)
    return frozenset(length for _, length in matrices if isinstance(length, int))


def _bits(layer: Layer) -> float:
    return 8 * layer.weight_bytes / layer.parameters if layer.parameters and layer.weight_bytes else 32.0


def _is_head(layer: Layer, language: LanguageModel | None) -> bool:
    """Whether a linear layer makes the logits of the whole vocabulary. It is as large as the table, tied or not."""
    if language is None or not language.generative or KINDS.get(layer.op_type) is not Kind.PRODUCT:
        return False
    table = language.embedding_parameters
    return layer.name.rpartition(".")[2] == "lm_head" or (table > 0 and abs(layer.parameters / table - 1) < 0.01)


def _kind(layer: Layer) -> Kind:
    kind = KINDS.get(layer.op_type, Kind.OTHER)
    return Kind.DEPTHWISE if kind is Kind.CONVOLUTION and layer.depthwise else kind


def _noise(sqnr_db: float | None) -> float | None:
    return None if sqnr_db is None else min(10.0 ** (-sqnr_db / 10), 100.0)


def _time_shares(layers: tuple[Layer, ...]) -> list[float]:
    """The layers' shares of the time: measured, else from multiply-accumulates, else equal for convolutions and
    products."""
    measured = [layer.time_share or 0.0 for layer in layers]
    if sum(measured) > 0:
        return [share / max(1.0, sum(measured)) for share in measured]
    work = [float(layer.macs or 0) for layer in layers]
    if not any(work):
        work = [float(KINDS.get(layer.op_type) in HEAVY) for layer in layers]
    return [value / (sum(work) or 1.0) for value in work]
