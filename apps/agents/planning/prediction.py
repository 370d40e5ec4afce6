"""What a candidate should gain and lose: Amdahl's law over kernel factors, bytes by number type, noise by operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Prediction
from apps.agents.measuring.machine_class import MachineClass, machine_class
from apps.agents.techniques.catalogue import Family, Risk, TechniqueSpec
from apps.agents.techniques.knowledge import kernels
from apps.agents.techniques.knowledge.litert_rules import (
    LITERT_KERNELS,
    LITERT_QUANTIZATIONS,
    litert_bytes_left,
    litert_noise_scale,
    litert_operators,
    litert_weight,
)
from apps.agents.techniques.knowledge.onnx_rules import (
    BLOCKS,
    DYNAMIC,
    FLOAT16,
    ONNX_QUANTIZATIONS,
    ONNX_SMOOTH,
    STATIC,
)
from apps.agents.techniques.knowledge.profile import GraphProfile, Lead, Node
from apps.agents.techniques.knowledge.torch_rules import (
    HALF,
    NATS_PER_NOISE,
    TORCH_KERNELS,
    TORCH_QUANTIZATIONS,
    TYPICAL_PERPLEXITY,
    loss_of,
    perplexity_lost,
    stored_bits,
)

QUANTIZATIONS = ONNX_QUANTIZATIONS | TORCH_QUANTIZATIONS | LITERT_QUANTIZATIONS
"""The techniques that the rules know by name; others are predicted by their specs' expectations."""


WIDER_BY = 1.5
WORTH_WIDENING_POINTS = 0.1
"""A loss that may be no more than so many points more is told as one number."""
HARMLESS = 0.01
"""A scale of noise so small that no operator is known to break by it."""


@dataclass(frozen=True)
class Scope:
    """Which nodes a technique with its parameters changes."""

    nodes: tuple[Node, ...]
    kept: tuple[Node, ...]
    """Nodes it would change, were they not told to stay in float."""


def scope_of(technique: str, parameters: Mapping[str, Any], profile: GraphProfile) -> Scope:
    """The nodes that `technique` changes and those that its `keep_float_*` parameters hold back."""
    operators = _operators(technique, parameters, profile)
    kept_operators = frozenset(parameters.get("keep_float_operators", ()))
    kept_names = frozenset(parameters.get("keep_float_nodes", ()))
    changed: list[Node] = []
    kept: list[Node] = []
    heads_stay = technique in TORCH_QUANTIZATIONS and technique != HALF
    for node in profile.nodes:
        if node.op_type in operators and not (heads_stay and node.head):
            stays = node.op_type in kept_operators or (node.name != "" and node.name in kept_names)
            (kept if stays else changed).append(node)
    return Scope(tuple(changed), tuple(kept))


def _operators(technique: str, parameters: Mapping[str, Any], profile: GraphProfile) -> frozenset[str]:
    if technique == STATIC:
        return frozenset(parameters.get("operators", ())) or kernels.STATIC_OPERATORS
    if technique == DYNAMIC:
        return kernels.DYNAMIC_OPERATORS
    if technique == BLOCKS:
        return frozenset({"MatMul", "Gather"} if parameters.get("embeddings") else {"MatMul"})
    if technique == ONNX_SMOOTH:
        return frozenset({"MatMul", "Gemm"})
    if technique in (FLOAT16, HALF):
        return profile.operators
    if technique in LITERT_QUANTIZATIONS:
        return litert_operators(technique)
    return frozenset({"Linear"}) if technique in TORCH_QUANTIZATIONS else frozenset()


def predict(
    spec: TechniqueSpec, parameters: Mapping[str, Any], profile: GraphProfile, criteria: Criteria
) -> Prediction:
    """What `spec` with `parameters` should do to the model: pure, the same for the same arguments.

    Speed by Amdahl's law over the kernel factors of `rules`, size by the bytes of each weight, loss by the noise of the
    operators changed. Where the sensitivity is unknown, and for techniques that the rules do not know, the
    spec's expectation stands.
    """
    if spec.family is Family.EXPORT and profile.format == spec.output_format:
        return _of_export(spec, profile)
    if spec.name not in QUANTIZATIONS:
        expected = spec.expectation
        basis = "The technique's expectation; nothing about this model is known that would change it."
        return _prediction(
            profile, expected.speedup, expected.size_ratio, expected.metric_drop_points, expected.risk, basis
        )
    scope = scope_of(spec.name, parameters, profile)
    speedup, sources = _speedup(spec.name, parameters, profile, scope, criteria)
    drop, sensitivity = _loss(spec, parameters, profile, scope)
    risk = risk_of(drop, criteria) if drop is not None else spec.expectation.risk
    drop = spec.expectation.metric_drop_points if drop is None else drop
    high = _high_loss(spec.name, parameters, profile, scope)
    high = None if high is None or high <= WIDER_BY * drop or high < WORTH_WIDENING_POINTS else high
    risk = risk if high is None else _higher(risk, risk_of(high, criteria))
    basis = f"Speed: {sources}; {_where_time_goes(profile)}; {sensitivity}."
    size_ratio = _size_ratio(spec.name, parameters, profile, scope)
    return _prediction(profile, speedup, size_ratio, drop, risk, basis, high)


def _of_export(spec: TechniqueSpec, profile: GraphProfile) -> Prediction:
    """`profile` is what came of it: both were measured, each by its own analysis."""
    basis = (
        f"Both were measured by their analyses: {profile.original_latency_ms:.3g} ms before the export and "
        f"{profile.latency_ms:.3g} ms after it."
    )
    return _prediction(profile, 1.0, 1.0, spec.expectation.metric_drop_points, spec.expectation.risk, basis)


def _prediction(
    profile: GraphProfile,
    speedup: float,
    size_ratio: float,
    drop: float,
    risk: Risk,
    basis: str,
    high: float | None = None,
) -> Prediction:
    """Ratios of the technique alone become those against the session's original."""
    lead = profile.lead
    if lead != Lead():
        basis = (
            f"{basis} Against the original the exported model itself is {lead.speedup:.2f}× as fast and "
            f"{lead.size_ratio:.2f} times smaller."
        )
    return Prediction(
        speedup=round(speedup * lead.speedup, 3),
        size_ratio=round(size_ratio * lead.size_ratio, 3),
        metric_drop_points=round(drop, 3),
        metric_drop_high=None if high is None else round(high, 3),
        risk=risk.value,
        basis=basis,
    )


def risk_of(drop_points: float, criteria: Criteria) -> Risk:
    """The risk that a predicted loss breaks the member's limit; 1 point where there is none."""
    limit = criteria.constraints.max_metric_drop_points
    limit = 1.0 if limit is None else max(limit, 0.05)
    if drop_points <= 0.02 * limit:
        return Risk.NONE
    if drop_points <= 0.4 * limit:
        return Risk.LOW
    return Risk.MEDIUM if drop_points <= limit else Risk.HIGH


def _loss(
    spec: TechniqueSpec, parameters: Mapping[str, Any], profile: GraphProfile, scope: Scope
) -> tuple[float | None, str]:
    """The loss in the metric's unit, `None` where nothing is known, and where the number comes from."""
    noise = _noise(spec.name, parameters, profile, scope)
    if profile.perplexity and spec.name in TORCH_QUANTIZATIONS:
        nats = loss_of(spec.name, parameters).nats * _share_of_noise(profile, scope)
        told = f"{nats:.2g} nats a token by what such methods lost elsewhere, told at a perplexity of"
        return perplexity_lost(nats), f"{told} {TYPICAL_PERPLEXITY:g}"
    if noise is None:
        return None, "sensitivity not known yet, so the loss is the technique's expectation"
    said = f"output noise of the changed operators {noise:.2g} of the signal"
    if profile.perplexity:
        return perplexity_lost(NATS_PER_NOISE * noise), said
    return kernels.metric_drop_points(noise), said


def _high_loss(technique: str, parameters: Mapping[str, Any], profile: GraphProfile, scope: Scope) -> float | None:
    """How much the loss may be, by operators that no such technique, or no sensitivity at all, was measured on.

    `None` where the noise is that of measurements, and before anything was measured: the expectation says so itself.
    """
    if not profile.measured or profile.perplexity or technique not in ONNX_QUANTIZATIONS | LITERT_QUANTIZATIONS:
        return None
    scale = _noise_scale(technique, parameters)
    seen = kernels.SEEN_OPERATORS.get(_scale_name(technique, parameters), profile.operators)
    seen = seen if profile.attention or technique not in kernels.SEEN_OPERATORS else frozenset()
    by_operator = noise_by_operator(profile, scope)
    noise = 0.0
    for op_type in {node.op_type for node in scope.nodes if node.op_type in by_operator or node.weight_bytes}:
        measured = by_operator.get(op_type)
        if measured is None:
            noise += scale if scale < HARMLESS else kernels.UNMEASURED_NOISE
        else:
            noise += scale * measured if op_type in seen else kernels.UNSEEN_NOISE * max(scale, 1.0) * measured
    return kernels.metric_drop_points(noise)


def _higher(one: Risk, other: Risk) -> Risk:
    """The worse of two risks, where the second rests on no measurement and so counts as medium at most."""
    order = list(Risk)
    return max(one, min(other, Risk.MEDIUM, key=order.index), key=order.index)


def _share_of_noise(profile: GraphProfile, scope: Scope) -> float:
    """How much of the noise of every node that a technique could change comes from those that it does; 1 if unknown."""
    whole = sum(noise_by_operator(profile, Scope((*scope.nodes, *scope.kept), ())).values())
    return sum(noise_by_operator(profile, scope).values()) / whole if whole > 0 else 1.0


def _weight_type(technique: str, parameters: Mapping[str, Any]) -> str | None:
    if technique == BLOCKS:
        return str(parameters.get("bits", 4))
    if technique in LITERT_QUANTIZATIONS:
        return litert_weight(technique, parameters)
    weight = parameters.get("weight_type") or parameters.get("type") or parameters.get("dtype")
    return str(weight) if weight is not None else None


def _speedup(
    technique: str, parameters: Mapping[str, Any], profile: GraphProfile, scope: Scope, criteria: Criteria
) -> tuple[float, str]:
    """Original over candidate latency, and where the factors come from."""
    machine = machine_class(criteria.target.device, profile.flags)
    activation, weight = parameters.get("activation_type"), _weight_type(technique, parameters)
    shares: dict[kernels.Kind, float] = {}
    for node in scope.nodes:
        shares[node.kind] = shares.get(node.kind, 0.0) + node.time_share
    time = max(0.0, 1.0 - sum(shares.values()))
    bases: set[str] = set()
    for kind, share in shares.items():
        rule = kernels.kernel(technique, kind, activation, weight, (*kernels.KERNELS, *TORCH_KERNELS, *LITERT_KERNELS))
        time += share / (rule.factor(machine) if rule else 1.0)
        if rule and share > 0:
            bases.add(rule.basis)
    assumed = "assuming x86 with VNNI" if profile.flags is None and machine is MachineClass.VNNI else machine.value
    return 1.0 / max(time, 0.02), f"kernel factors on {assumed} ({'; '.join(sorted(bases)) or 'none apply'})"


def _bytes_left(technique: str, parameters: Mapping[str, Any], node: Node) -> float:
    """Bytes of a changed weight against those that it takes now, scales included."""
    if technique in TORCH_QUANTIZATIONS:
        return min(1.0, stored_bits(technique, parameters, node.bits) / node.bits)
    if technique in LITERT_QUANTIZATIONS:
        return litert_bytes_left(technique, parameters)
    return min(1.0, _float32_left(technique, parameters) * 32 / _float_bits(node))


def _float_bits(node: Node) -> int:
    """Of the floats among a node's weights, which may stand beside a few whole numbers; 32 for narrow weights, too."""
    return next((bits for bits in (16, 64) if 0.75 * bits <= node.bits < 1.5 * bits), 32)


def _float32_left(technique: str, parameters: Mapping[str, Any]) -> float:
    """The same of a weight in float32."""
    if technique == FLOAT16:
        return 0.5
    if technique == BLOCKS:
        bits, block = int(parameters.get("bits", 4)), int(parameters.get("block_size", 32))
        zero_points = 0 if parameters.get("symmetric", True) else bits / block
        return (bits + zero_points) / 32 + 1 / block
    return 0.255


def _size_ratio(technique: str, parameters: Mapping[str, Any], profile: GraphProfile, scope: Scope) -> float:
    changed = sum(node.weight_bytes for node in scope.nodes)
    saved = sum(node.weight_bytes * (1 - _bytes_left(technique, parameters, node)) for node in scope.nodes)
    if technique == HALF and changed:
        saved *= profile.size_bytes / changed  # Tied weights are listed with both their modules and stored once.
    left = max(profile.size_bytes - saved, profile.size_bytes * 0.05)
    return profile.size_bytes / left if profile.size_bytes else 1.0


def _noise(technique: str, parameters: Mapping[str, Any], profile: GraphProfile, scope: Scope) -> float | None:
    """Noise-to-signal ratio of the output; `None` where no changed operator's sensitivity is known."""
    by_operator = noise_by_operator(profile, scope)
    if not by_operator:
        return None
    if technique in TORCH_QUANTIZATIONS:
        return loss_of(technique, parameters).noise * sum(by_operator.values())
    if technique in LITERT_QUANTIZATIONS:
        return litert_noise_scale(technique, parameters) * sum(by_operator.values())
    scale = _noise_scale(technique, parameters)
    if technique in (DYNAMIC, BLOCKS):
        by_operator = {op: noise for op, noise in by_operator.items() if op in kernels.DYNAMIC_OPERATORS}
    return scale * sum(by_operator.values())


def _scale_name(technique: str, parameters: Mapping[str, Any]) -> str:
    return f"blocks-{parameters.get('bits', 4)}" if technique == BLOCKS else technique


def _noise_scale(technique: str, parameters: Mapping[str, Any]) -> float:
    """Noise against that of static int8."""
    if technique in LITERT_QUANTIZATIONS:
        return litert_noise_scale(technique, parameters)
    scale = kernels.NOISE_SCALE[_scale_name(technique, parameters)]
    if str(parameters.get("activation_type", "")).endswith("16"):
        scale *= kernels.WIDE_ACTIVATION_NOISE
    if parameters.get("per_channel") is False:
        scale *= kernels.PER_TENSOR_NOISE[technique]
    return scale


def noise_by_operator(profile: GraphProfile, scope: Scope) -> dict[str, float]:
    """Noise that each changed operator type still makes, less the share of its nodes that stay in float."""
    changed: dict[str, float] = {}
    every: dict[str, float] = {}
    typical = _typical_noise(scope)
    for node in scope.nodes:
        changed[node.op_type] = changed.get(node.op_type, 0.0) + (typical if node.noise is None else node.noise)
    for node in (*scope.nodes, *scope.kept):
        every[node.op_type] = every.get(node.op_type, 0.0) + (typical if node.noise is None else node.noise)
    known = profile.noise_by_operator
    return {op: known[op] * changed[op] / every[op] for op in changed if op in known and every[op] > 0}


def _typical_noise(scope: Scope) -> float:
    """Stands for nodes that were not measured alone: the least that was measured, or 1 for all when none was."""
    return min((node.noise for node in (*scope.nodes, *scope.kept) if node.noise), default=1.0)


def _where_time_goes(profile: GraphProfile) -> str:
    top = sorted(profile.time_by_operator.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{op_type} {share:.0%}" for op_type, share in top if share > 0)
    return f"time {'by profile' if profile.measured else 'guessed from operator counts'}: {shares or 'unknown'}"
