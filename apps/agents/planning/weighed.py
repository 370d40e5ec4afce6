"""A variant that the plan weighs: its chain, its prediction, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import CandidateRecord, Prediction
from apps.agents.planning.bases import Bases
from apps.agents.planning.chains import application_of
from apps.agents.planning.minutes import Minutes
from apps.agents.planning.ordering import predicted_gain, worth
from apps.agents.planning.prediction import scope_of
from apps.agents.planning.summary import describe, tables_in_words
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.variant import Variant


@dataclass(frozen=True)
class Weighed:
    """A variant with its prediction, and a reason to leave it out, if any: a firm one, or a soft one (no predicted
    gain)."""

    variant: Variant
    spec: TechniqueSpec
    prediction: Prediction
    firm: str | None
    soft: str | None
    reach: float
    """The share of the time that is spent in the operators that it changes."""
    profile: GraphProfile
    """The profile of the form of the model that it starts from."""
    head: Chain
    """The links that are applied before it."""

    @property
    def application(self) -> Application:
        return application_of(self.spec, self.variant.parameters)

    @property
    def title(self) -> str:
        return self.application.named

    def applies(self, technique: str) -> bool:
        """Whether `technique` is one of its links, and not one that may be skipped."""
        return any(link.technique == technique and not link.optional for link in (*self.head, self.application))


def foreseen(
    item: Weighed, bases: Bases, minutes: Minutes, before: Sequence[tuple[TechniqueSpec, Mapping[str, Any]]] = ()
) -> Weighed:
    """With the steps that it takes: its own, and those of what is made `before` for it alone."""
    basis = bases.of(item.spec) or bases.original
    applied = (*before, (item.spec, item.variant.parameters))
    return replace(item, prediction=minutes.foreseen(applied, basis, item.prediction))


def worth_of(item: Weighed, criteria: Criteria) -> float:
    return worth(predicted_gain(item.prediction, criteria), item.prediction, item.spec)


def record_of(number: int, item: Weighed, criteria: Criteria) -> CandidateRecord:
    required = any(item.applies(technique) for technique in criteria.required_techniques)
    predicted = "number types are chosen by measuring" if item.spec.knowledge.predicts else "the criteria name it"
    why = "the criteria require it" if required else predicted
    doubt = f" It is tried although {item.soft}: {why}." if item.soft else ""
    return CandidateRecord(
        key=f"c{number:02d}",
        steps=(*item.head, item.application),
        predicted=item.prediction,
        reason=f"{item.variant.reason} {_tables(item)}Predicted {describe(item.prediction, item.profile)}.{doubt}",
    )


def _tables(item: Weighed) -> str:
    """What happens to the embedding tables, if they are large enough to mention."""
    if not item.spec.knowledge.predicts:
        return ""
    changed = {node.op_type for node in scope_of(item.spec, item.variant.parameters, item.profile).nodes}
    sentence = tables_in_words(item.profile, changed)
    return f"{sentence} " if sentence else ""


def as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
