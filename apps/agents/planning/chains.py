"""What comes before a technique in a candidate's chain: the export to a format that it takes, and a preparation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.state import CandidateRecord
from apps.agents.planning.bases import Bases
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.knowledge.onnx_rules import GRAPH, ONNX_QUANTIZATIONS
from apps.agents.techniques.knowledge.onnx_variants import variant_of


def application_of(spec: TechniqueSpec, parameters: Mapping[str, Any], *, optional: bool = False) -> Application:
    """`spec` applied with all of these `parameters`."""
    return Application(
        technique=spec.name,
        parameters=dict(parameters),
        title=spec.label,
        variant=variant_of(spec.name, parameters),
        optional=optional,
    )


@dataclass(frozen=True)
class Heads:
    """What candidates of a session start with. `usable` says of a technique, by its name, whether it may be used."""

    bases: Bases
    specs: Mapping[str, TechniqueSpec]
    usable: Callable[[str], bool]

    def of(self, spec: TechniqueSpec) -> Chain:
        """The links before `spec`; none where it starts from the original as it is."""
        return (*self._export(spec), *self._preparation(spec))

    def in_full(self, record: CandidateRecord) -> CandidateRecord:
        """A record with what comes before its last link, where it was written before candidates were chains."""
        spec = self.specs.get(record.technique)
        if len(record.steps) > 1 or spec is None:
            return record
        return record.model_copy(update={"steps": (*self.of(spec), *record.steps)})

    def _export(self, spec: TechniqueSpec) -> Chain:
        given, target = self.bases.original.model.format, self.bases.starts_from_export(spec)
        exports = (one for one in self.specs.values() if one.family is Family.EXPORT and one.output_format == target)
        exporter = next((one for one in exports if target and given in one.formats), None)
        return (application_of(exporter, exporter.resolve({})),) if exporter else ()

    def _preparation(self, spec: TechniqueSpec) -> Chain:
        """Quantizations of ONNX start from the optimized graph; where it cannot be made, from what it is made of."""
        if spec.name not in ONNX_QUANTIZATIONS or not self.usable(GRAPH):
            return ()
        graph = self.specs[GRAPH]
        return (application_of(graph, graph.resolve({}), optional=True),)
