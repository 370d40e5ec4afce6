"""The links before a technique in a candidate's chain: an export to a format that it takes, and a preparation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.state import CandidateRecord
from apps.agents.planning.bases import Bases
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.order import why_not_after
from apps.agents.techniques.variants import variant_name


def application_of(spec: TechniqueSpec, parameters: Mapping[str, Any], *, optional: bool = False) -> Application:
    """The link that applies `spec` with exactly these `parameters`. Its further inputs are the original."""
    return Application(
        technique=spec.name,
        parameters=dict(parameters),
        title=spec.label,
        variant=variant_name(spec, parameters),
        optional=optional,
        essential=spec.remakes_network,
        inputs=dict.fromkeys(spec.inputs, ()),
    )


@dataclass(frozen=True)
class Heads:
    """The first links of a session's candidates. `usable` returns whether the technique of a name may be used."""

    bases: Bases
    specs: Mapping[str, TechniqueSpec]
    usable: Callable[[str], bool]

    def of(self, spec: TechniqueSpec) -> Chain:
        """The links before `spec`; empty if it is applied to the original itself."""
        export = self._export(spec)
        return (*export, *self.preparation(spec, export))

    def in_full(self, record: CandidateRecord) -> CandidateRecord:
        """The record with all links. An older record has only the last one, so the links before it are added."""
        spec = self.specs.get(record.technique)
        if len(record.steps) > 1 or spec is None or not (before := self.of(spec)):
            return record
        return record.model_copy(update={"steps": (*before, *record.steps)})

    def _export(self, spec: TechniqueSpec) -> Chain:
        given, target = self.bases.original.model.format, self.bases.starts_from_export(spec)
        exports = (one for one in self.specs.values() if one.family is Family.EXPORT and one.output_format == target)
        exporter = next((one for one in exports if target and given in one.formats), None)
        return (application_of(exporter, exporter.resolve({})),) if exporter else ()

    def preparation(self, spec: TechniqueSpec, before: Chain) -> Chain:
        """The technique that prepares the input of `spec` behind the links `before`; empty if it cannot be used. The
        link is optional."""
        prepared_by = spec.knowledge.prepared_by
        if prepared_by is None or not self.usable(prepared_by):
            return ()
        preparer = self.specs[prepared_by]
        earlier = [*(self.specs[one.technique] for one in before), preparer]
        given = self.bases.original.model.format
        if why_not_after(preparer, earlier[:-1], given) or why_not_after(spec, earlier, given):
            return ()
        return (application_of(preparer, preparer.resolve({}), optional=True),)
