"""The machine-readable evidence of a package: an ML-BOM by CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/).

It has the model with its card, the metrics with their intervals, the original as the model's ancestor, the data set,
the libraries, and the SHA-256 of every file of the package but itself and the signature. `lathe verify` compares these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType, Pedigree
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from apps.agents.contracts.reports.card import CardFile, CardMetric, ModelCard
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.files.digest import digest_of

MODEL, DATA = "model", "data"
"""References within the bill."""
_DELIVERED, _ORIGINAL, _CHANGE = "delivered", "original", "change"
"""The slices of a metric."""


def evidence_bom(card: ModelCard, files: Mapping[str, Path], needed: Sequence[str], warnings: Sequence[str]) -> str:
    """The bill as JSON. The same contents give the same text.

    `files`: by name, every file of the package that the bill covers. `needed`: what the model runs with, as
    `name==version`. `warnings`: all that limits the model's use, in sentences.
    """
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"lathe:{card.session}:{card.decision}"), version=1)
    bom.metadata.timestamp = card.made_at
    bom.metadata.tools.components.add(Component(name="Lathe", version=card.lathe, type=ComponentType.APPLICATION))
    model, data = _model(card), _data(card)
    running, making = _running(needed), list(_making(card, needed))
    bom.metadata.component = model
    for part in (data, *running, *making, *_files(files)):
        bom.components.add(part)
    bom.register_dependency(model, [data, *running])
    written: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library has no class for model cards yet.
    written["metadata"]["component"]["modelCard"] = _model_card(card, warnings)
    return json.dumps(written, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def _hashes(file: CardFile) -> list[HashType]:
    return [] if file.sha256 is None else [_sha256(file.sha256)]


def _version(file: CardFile) -> str | None:
    return file.sha256 and file.sha256[:12]


def _model(card: ModelCard) -> Component:
    ancestors = [] if card.stands else [_ancestor(card.original, "original")]
    ancestors += [_ancestor(card.student, "student")] if card.student else []
    made = "; ".join(f"{step.title} ({step.technique})" for step in card.steps)
    return Component(
        name=card.model.name,
        version=_version(card.model),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=MODEL,
        description=f"{card.headline}.",
        hashes=_hashes(card.model),
        pedigree=Pedigree(ancestors=ancestors, notes=f"Made by: {made}." if made else "The original, unchanged."),
        properties=[Property(name=f"lathe:{name}", value=value) for name, value in _facts(card)],
    )


def _facts(card: ModelCard) -> Iterator[tuple[str, str]]:
    """What the format has no field for, by name."""
    yield "session", card.session
    yield "outcome", card.outcome.value
    yield "format", card.model.format
    yield "runtime", card.model.runtime
    yield "size_bytes", str(card.model.size_bytes)
    yield "confidence", repr(card.confidence)
    if card.data.measured_on is not None:
        yield "measured_on", str(card.data.measured_on)
    if card.machine is not None:
        yield "machine", f"{card.machine.cpu}, {card.machine.cores} cores, {card.machine.system}"
    if card.timing is not None:
        yield "timing", card.timing.model_dump_json()
    for limit in card.limits:
        yield f"limit:{limit.status}", limit.sentence
    for place, step in enumerate(card.steps, 1):
        yield f"step:{place}", json.dumps({"technique": step.technique, "parameters": step.parameters}, sort_keys=True)


def _ancestor(file: CardFile, role: str) -> Component:
    return Component(
        name=file.name,
        version=_version(file),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=role,
        hashes=_hashes(file),
        properties=[
            Property(name="lathe:format", value=file.format),
            Property(name="lathe:size_bytes", value=str(file.size_bytes)),
        ],
    )


def _data(card: ModelCard) -> Component:
    return Component(
        name=card.data.name,
        type=ComponentType.DATA,
        bom_ref=DATA,
        hashes=[_sha256(card.data.sha256)],
        properties=[Property(name="lathe:examples", value=str(card.data.examples))],
    )


def _running(needed: Sequence[str]) -> list[Component]:
    """The libraries that the model runs with."""
    pairs = sorted({(name, version) for name, _, version in (need.partition("==") for need in needed)})
    return [_library(name, version, ComponentScope.REQUIRED) for name, version in pairs]


def _making(card: ModelCard, needed: Sequence[str]) -> Iterator[Component]:
    """The further libraries that made the model. It runs without them."""
    made_with = {(name, version) for step in card.steps for name, version in step.libraries.items()}
    for name, version in sorted(made_with):
        if f"{name}=={version}" not in needed:
            yield _library(name, version, ComponentScope.EXCLUDED)


def _library(name: str, version: str, scope: ComponentScope) -> Component:
    purl = PackageURL(type="pypi", name=name, version=version)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, scope=scope, purl=purl, bom_ref=f"{name}@{version}"
    )


def _files(files: Mapping[str, Path]) -> Iterator[Component]:
    for name, path in files.items():
        yield Component(
            name=name,
            type=ComponentType.FILE,
            bom_ref=f"file:{name}",
            hashes=[_sha256(digest_of(path))],
            properties=[Property(name="lathe:size_bytes", value=str(path.stat().st_size))],
        )


# --- the model card --------------------------------------------------------------------------------------------------


def _model_card(card: ModelCard, warnings: Sequence[str]) -> dict[str, Any]:
    return {
        "modelParameters": {
            "task": card.data.task,
            "datasets": [{"ref": DATA}],
            "inputs": [{"format": str(one)} for one in card.inputs],
            "outputs": [{"format": str(one)} for one in card.outputs],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [entry for metric in card.metrics for entry in _entries(metric)],
        },
        "considerations": _considerations(card, warnings),
        "properties": [
            {"name": f"lathe:{name}", "value": text}
            for name in ("training_data", "contacts")
            if (text := getattr(card.texts, name))
        ],
    }


def _considerations(card: ModelCard, warnings: Sequence[str]) -> dict[str, Any]:
    """What limits the use of the model: what was found, and what members have written."""
    texts = card.texts
    return {
        "useCases": [texts.intended_use] if texts.intended_use else [],
        "technicalLimitations": [*warnings, *([texts.limitations] if texts.limitations else [])],
        "performanceTradeoffs": [limit.sentence for limit in card.limits],
        "ethicalConsiderations": [{"name": texts.ethical_considerations}] if texts.ethical_considerations else [],
    }


def _entries(metric: CardMetric) -> Iterator[dict[str, Any]]:
    """One entry for each model, and one for the change. Their types name the unit."""
    if metric.original is not None:
        yield _entry(metric.key, metric.unit, _ORIGINAL, metric.original)
    yield _entry(metric.key, metric.unit, _DELIVERED, metric.delivered)
    if metric.change is not None:
        yield _entry(metric.key, metric.change_unit, _CHANGE, metric.change)


def _entry(key: str, unit: str, which: str, value: Estimate) -> dict[str, Any]:
    """An exact number has no interval."""
    named = f"{key} [{unit}]" if unit else key
    entry: dict[str, Any] = {"type": named, "slice": which, "value": repr(value.value)}
    if value.low is not None and value.high is not None:
        entry["confidenceInterval"] = {"lowerBound": repr(value.low), "upperBound": repr(value.high)}
    return entry
