"""The AnalysisAgent: what a model is, what it costs on this machine, where its time goes, and how sensitive it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apps.agents.analysis.dataset_match import refuse_chance
from apps.agents.analysis.engine import AnalysisEngine, LayerTime, Sensitivity, open_analysis_engine
from apps.agents.analysis.opportunities import opportunities
from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.analysis import AnalysisReport, Compatibility, Layer
from apps.agents.contracts.reports.measurements import Latency, ModeLatency
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.datasets.loading import ArrayDataset, Dataset
from apps.agents.evaluation.batch_behaviour import Behaviour, examine
from apps.agents.measuring.engine import Feeds, Run, fixed_batch
from apps.agents.measuring.machine import describe_machine, installed_versions
from apps.agents.measuring.single_model import measure_latency
from apps.agents.techniques.catalogue import TechniqueSpec, catalogue
from apps.agents.techniques.compatibility import compatibility

CALIBRATION_EXAMPLES = 16
"""Enough to rank layers: more hardly change the ranking by SQNR, but each takes time."""
BATCH = 4
"""Examples per batch when all tensors of the model are in memory at once, unless the model's batch is fixed."""
SENSITIVITY_BUDGET_S = 120.0
SHARE_OF_BUDGET = 0.15
"""The largest share of a session's time for measuring the sensitivity."""
LATENCY_BUDGET_S = 5.0
_MEASURED_SHARE = 0.3
"""The share of the progress bar for everything before the sensitivity."""


@dataclass(frozen=True)
class AnalysisAgent:
    """Analyses one model at a time. `scratch` is a folder for unpacked and intermediate files."""

    scratch: Path
    techniques: Mapping[str, TechniqueSpec] | None = None
    """The catalogue of techniques; by default, all known ones."""
    sensitivity_budget_s: float | None = None
    """Seconds for measuring the sensitivity; by default a share of the criteria's budget, at most two minutes."""

    def analyse(
        self,
        model_path: Path,
        dataset: Dataset,
        criteria: Criteria,
        context: Context,
        *,
        format: str = "onnx",  # noqa: A002
        signature: str | None = None,
        original: bool = False,
    ) -> AnalysisReport:
        """Analyse the model at `model_path` on `dataset`, for the criteria's target.

        For the session's `original`, it is checked first whether the data set belongs to the model.

        Latency, throughput and memory are those of the unchanged model. Layers are those of its simplified graph, or
        its modules. A value that cannot be measured is `None` or explained in a note. Raises `ModelAtChance` if the
        data set does not belong to the model, a `Model…` error if the model cannot be loaded or run, the errors of
        `examine` if candidates could not be compared with it, and `DeviceMissing` if the machine does not have the
        target's device.
        """
        specs = catalogue() if self.techniques is None else self.techniques
        context.progress(0.0, "Opening the model")
        engine = open_analysis_engine(format, model_path, self.scratch, signature)
        context.progress(0.02, "Running a few examples alone and side by side")
        run = engine.session(criteria.target)
        behaviour = examine(run, dataset, engine.summary)
        if behaviour.batch_axes:
            assert isinstance(dataset, ArrayDataset)  # Only for these are the axes detected.
            dataset = dataset.laid_out(behaviour.batch_axes)
        suspicions = refuse_chance(run, engine.summary, dataset, criteria, context) if original else ()
        for sentence in suspicions:
            context.log(sentence, "warning")
        report = self._report(engine, run, dataset, criteria, context, behaviour, specs)
        report = report.model_copy(update={"suspicions": suspicions})
        report = report.model_copy(update={"opportunities": opportunities(report, criteria, specs)})
        context.progress(1.0, f"Analysed {len(report.layers)} layers")
        return report

    def _report(
        self,
        engine: AnalysisEngine,
        run: Run,
        dataset: Dataset,
        criteria: Criteria,
        context: Context,
        behaviour: Behaviour,
        specs: Mapping[str, TechniqueSpec],
    ) -> AnalysisReport:
        """Everything that is measured; suspicions and opportunities are still empty."""
        summary, rows = engine.summary, dataset.layout.rows
        batch = fixed_batch(summary.inputs, dataset.layout)
        whole = _whole_batches(dataset, batch)
        latency, peak_memory_bytes = self._measure(engine, run, dataset, criteria, batch, context)
        modes, refused = self._modes(engine, dataset, criteria, batch, context)
        times = self._times(engine, dataset, criteria, batch, context)
        context.progress(0.25, "Looking at every layer")
        layers = engine.layers(whole, rows(whole[0]) if whole else None)
        found = self._sensitivity(engine, whole, layers, criteria, context)
        notes = (*_notes(summary, layers, latency, criteria), *dataset.notes, *engine.notes(), *refused, *found.notes)
        return AnalysisReport(
            model=summary,
            machine=describe_machine(),
            latency=latency,
            peak_memory_bytes=peak_memory_bytes,
            layers=tuple(_completed(layer, times, found) for layer in layers),
            operator_sensitivity=tuple(found.operators),
            opportunities=(),
            compatibility=_with_hindrances(
                compatibility(summary, _installed(specs), dataset.summary, specs.values()), engine.hindrances(whole)
            ),
            calibration_examples=sum(map(rows, whole)),
            generation=engine.generation(dataset.first(1), criteria.target),
            modes=modes,
            batch_axes=dict(behaviour.batch_axes),
            notes=(*behaviour.notes, *notes),
        )

    def _measure(
        self,
        engine: AnalysisEngine,
        run: Run,
        dataset: Dataset,
        criteria: Criteria,
        batch: int | None,
        context: Context,
    ) -> tuple[Latency, int]:
        """Latency and peak memory at the criteria's batch size, or at the model's if that is fixed."""
        target = criteria.target
        rows = batch or target.batch_size
        feeds = dataset.first(rows)
        context.progress(
            0.05, f"Measuring latency at batch {rows}, {target.threads} thread{'s' * (target.threads > 1)}"
        )
        latency = measure_latency(
            lambda: run(feeds), batch_size=rows, threads=target.threads, budget_s=LATENCY_BUDGET_S
        )
        context.metric("latency_p50_ms", latency.p50_ms)
        context.progress(0.15, "Measuring memory in a separate process")
        peak_memory_bytes = engine.peak_memory_bytes(feeds, target)
        context.metric("peak_memory_bytes", float(peak_memory_bytes))
        return latency, peak_memory_bytes

    def _modes(
        self, engine: AnalysisEngine, dataset: Dataset, criteria: Criteria, batch: int | None, context: Context
    ) -> tuple[tuple[ModeLatency, ...], list[str]]:
        """Latency in the runtime's other modes, and a note for each mode that cannot run this model."""
        target, found, refused = criteria.target, [], []
        rows = batch or target.batch_size
        feeds = dataset.first(rows)
        for name, run in engine.modes(target):
            context.progress(0.18, f"Measuring latency in {name}")
            try:
                latency = measure_latency(
                    partial(run, feeds), batch_size=rows, threads=target.threads, budget_s=LATENCY_BUDGET_S
                )
            except ModelRunFailed as error:
                refused.append(f"{name} cannot run the model: {error.context['reason']}.")
                continue
            found.append(ModeLatency(name=name, latency=latency))
        return tuple(found), refused

    def _times(
        self, engine: AnalysisEngine, dataset: Dataset, criteria: Criteria, batch: int | None, context: Context
    ) -> Mapping[str, LayerTime]:
        context.progress(0.2, "Profiling where the time goes")
        return engine.times(dataset.first(batch or criteria.target.batch_size), criteria.target)

    def _sensitivity(
        self,
        engine: AnalysisEngine,
        batches: Sequence[Feeds],
        layers: Sequence[Layer],
        criteria: Criteria,
        context: Context,
    ) -> Sensitivity:
        if not batches:
            return Sensitivity(notes=["There are no calibration examples, so the sensitivity was not measured."])
        budget_s = self.sensitivity_budget_s
        if budget_s is None:
            budget_s = min(SENSITIVITY_BUDGET_S, criteria.budget.minutes * 60 * SHARE_OF_BUDGET)

        def tell(fraction: float, message: str, eta_s: float | None) -> None:
            context.progress(_MEASURED_SHARE + fraction * (1 - _MEASURED_SHARE), message, eta_s)

        return engine.sensitivity(batches, by_weight(layers), budget_s=budget_s, tell=tell)


def by_weight(layers: Sequence[Layer]) -> list[str]:
    """The names of the layers, sorted by how much their quantization could gain: by bytes of weights, then by MACs."""
    return [layer.name for layer in sorted(layers, key=lambda layer: (-layer.weight_bytes, -(layer.macs or 0)))]


def _whole_batches(dataset: Dataset, batch: int | None) -> list[Feeds]:
    """Calibration examples in batches of the model's size, without an incomplete last one; of any size if dynamic."""
    calibration = dataset.calibration(CALIBRATION_EXAMPLES, batch or BATCH)
    return [feeds for feeds in list(calibration) if batch is None or dataset.layout.rows(feeds) == batch]


def _completed(layer: Layer, times: Mapping[str, LayerTime], found: Sensitivity) -> Layer:
    time = times.get(layer.name)
    return layer.model_copy(
        update={
            "time_ms": time.time_ms if time else None,
            "time_share": time.share if time else None,
            "sqnr_db": found.layers.get(layer.name),
        }
    )


def _with_hindrances(found: Sequence[Compatibility], reasons: Mapping[str, str]) -> tuple[Compatibility, ...]:
    """What fits the model, less the techniques that find nothing to change in its graph."""
    return tuple(
        one.model_copy(update={"compatible": False, "reason": reasons[one.technique]})
        if one.compatible and one.technique in reasons
        else one
        for one in found
    )


def _installed(specs: Mapping[str, TechniqueSpec]) -> tuple[str, ...]:
    return tuple(installed_versions({name for spec in specs.values() for name in spec.requires}))


def _notes(summary: ModelSummary, layers: Sequence[Layer], latency: Latency, criteria: Criteria) -> list[str]:
    notes = []
    if latency.batch_size != criteria.target.batch_size:
        notes.append(
            f"The model takes only batches of {latency.batch_size}, so latency was measured at that size and not at "
            f"{criteria.target.batch_size}."
        )
    operators = sum(count for name, count in summary.operators.items() if name != "Constant")
    if summary.format == Format.ONNX and len(layers) != operators:
        notes.append(
            f"Layers are those of the simplified graph: {len(layers)} of {operators} operators are left after "
            "constants were folded and neighbours merged."
        )
    return notes
