from __future__ import annotations

from apps.agents.analysis.opportunities import opportunities
from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.agents.contracts.reports.analysis import AnalysisReport, Compatibility, Layer, OperatorSensitivity
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Latency
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.catalogue import Expectation, Family, Risk, TechniqueSpec, catalogue
from apps.agents.techniques.compatibility import compatibility

MACHINE = Machine(
    hostname="h",
    cpu="c",
    cores=2,
    memory_bytes=1,
    flags=("avx512_vnni",),
    system="s",
    python="3.11",
    libraries={},
)
OWN = TechniqueSpec(
    name="own",
    family=Family.COMPRESSION,
    label="Own",
    summary="A technique from another package.",
    formats=("onnx",),
    output_format="onnx",
    requires=(),
    expectation=Expectation(size_ratio=3.0, speedup=1.0, metric_drop_points=0.1, risk=Risk.LOW),
    reference="https://example.org",
    implementation="own:Own",
)


def _report(*, convolution_db: float = 45.0, compatible: bool = True) -> AnalysisReport:
    """A network of convolutions that take nine tenths of the time and nearly all bytes."""
    layers = tuple(
        Layer(
            name=f"conv{index}",
            op_type="Conv",
            parameters=100_000,
            weight_bytes=400_000,
            macs=10**6,
            time_share=0.3,
            sqnr_db=convolution_db,
        )
        for index in range(3)
    )
    model = ModelSummary(
        format="onnx",
        producer="tests",
        opset=17,
        inputs=(),
        outputs=(),
        parameters=300_000,
        size_bytes=1_210_000,
        operators={"Conv": 3, "Relu": 3},
        weight_dtypes={"float32": 300_000},
    )
    judged = compatibility(model, None, None)
    return AnalysisReport(
        model=model,
        machine=MACHINE,
        latency=Latency(p50_ms=1, p95_ms=1, throughput_per_s=1000, runs=9, batch_size=1, threads=1),
        peak_memory_bytes=1,
        layers=layers,
        operator_sensitivity=(OperatorSensitivity(op_type="Conv", count=3, sqnr_db=convolution_db),),
        opportunities=(),
        compatibility=tuple(
            Compatibility(technique=entry.technique, compatible=compatible, reason=entry.reason) for entry in judged
        ),
        calibration_examples=16,
    )


def test_static_quantization_is_the_first_opportunity_of_a_convolution_network() -> None:
    found = opportunities(_report(), Criteria())
    assert found[0].technique == "onnx-static-int8"
    assert found[0].expected_speedup > 2
    assert found[0].expected_size_ratio > 3
    assert "Risk: " in found[0].reason


def test_each_technique_is_named_once() -> None:
    names = [opportunity.technique for opportunity in opportunities(_report(), Criteria())]
    assert len(names) == len(set(names))


def test_what_is_not_compatible_is_no_opportunity() -> None:
    assert opportunities(_report(compatible=False), Criteria()) == ()


def test_what_would_collapse_is_no_opportunity() -> None:
    """At 0 dB the output is as much noise as signal; only with activations in 16 bits may something be left."""
    strict = Criteria(constraints=Constraints(max_metric_drop_points=0.5))
    found = {one.technique: one.title for one in opportunities(_report(convolution_db=0.0), strict)}
    assert "uint8" not in found.get("onnx-static-int8", "")
    assert "onnx-float16" in found


def test_a_technique_from_elsewhere_is_taken_at_its_word() -> None:
    report = _report()
    entry = Compatibility(technique="own", compatible=True, reason="fits")
    report = report.model_copy(update={"compatibility": (*report.compatibility, entry)})
    found = {one.technique: one for one in opportunities(report, Criteria(), {**catalogue(), "own": OWN})}
    assert found["own"].expected_size_ratio == 3.0


def test_the_order_follows_the_objective() -> None:
    smallest = opportunities(_report(), Criteria(objective=Objective.SIZE))
    sizes = [opportunity.expected_size_ratio for opportunity in smallest]
    assert sizes[0] > sizes[-1]
