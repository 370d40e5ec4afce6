"""Candidates of chains that a member names: how they are made, what they should gain, or why they cannot be made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import dropwhile
from typing import Any

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.plan_edits import NamedLink
from apps.agents.contracts.state import Prediction
from apps.agents.memory.kinds import kinds_of_chain
from apps.agents.planning.availability import Sorting
from apps.agents.planning.bases import Bases
from apps.agents.planning.chains import Heads, application_of
from apps.agents.planning.experience import with_experienced_minutes
from apps.agents.planning.minutes import Minutes
from apps.agents.planning.prediction import in_turn, predict, suited
from apps.agents.planning.shared_steps import MADE_FOR_MANY
from apps.agents.planning.summary import describe
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.compatibility import exporter_for
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from apps.agents.techniques.order import why_not_after


@dataclass(frozen=True)
class Drafts:
    """Makes candidates from chains of this catalogue (`specs`), of which a plan may use the techniques in
    `available`."""

    sorting: Sorting
    minutes: Minutes
    specs: Mapping[str, TechniqueSpec]
    available: Mapping[str, TechniqueSpec]
    knowledge: Knowledge = TABLES

    @property
    def bases(self) -> Bases:
        return self.sorting.bases

    @property
    def given(self) -> str:
        """The format of the original."""
        return self.bases.original.model.format

    # --- chains ------------------------------------------------------------------------------------------------------

    def why_not(self, name: Sequence[NamedLink]) -> str | None:
        """Why a chain cannot be tried, in a sentence; `None` if it can. Its techniques and parameters must be valid."""
        for spec in self._applied(name):
            if why := self.sorting.obstacle(spec):
                return f"{spec.label}: {why}"
        return self.out_of_order(name)

    def out_of_order(self, name: Sequence[NamedLink]) -> str | None:
        """Why the techniques cannot follow each other in this order, in a sentence; `None` if they can."""
        earlier: list[TechniqueSpec] = []
        for spec in self._applied(name):
            if why := why_not_after(spec, earlier, self.given):
                place = f"after {' and '.join(one.label for one in earlier)}" if earlier else "first"
                return f"{spec.label} cannot come {place}: {why}"
            earlier.append(spec)
        return None

    def chain(self, name: Sequence[NamedLink]) -> Chain:
        """The named links, with the export and the preparations that planned candidates have, too, and with what the
        worker's machine needs where a name leaves it open."""
        heads = Heads(self.bases, self.specs, self.available.__contains__)
        exporter = self._exporter(name)
        made: Chain = (application_of(exporter, exporter.resolve({})),) if exporter else ()
        for link in name:
            spec = self.specs[link.technique]
            given, _ = suited(spec, link.parameters, self.bases.profile(spec), self.sorting.criteria)
            made = (*made, *heads.preparation(spec, made), application_of(spec, spec.resolve(given)))
        return made

    def again(self, link: Application) -> Application:
        """A link whose parameters were changed, with the title that follows. Raises `ValueError` if they are wrong."""
        spec = self.specs[link.technique]
        made = application_of(spec, spec.resolve(link.parameters), optional=link.optional)
        return made.model_copy(update={"inputs": link.inputs})

    def _exporter(self, name: Sequence[NamedLink]) -> TechniqueSpec | None:
        """The export that the first technique needs before it."""
        return exporter_for(self.specs[name[0].technique], self.given)

    def _applied(self, name: Sequence[NamedLink]) -> Iterator[TechniqueSpec]:
        if exporter := self._exporter(name):
            yield exporter
        yield from (self.specs[link.technique] for link in name)

    # --- what they should gain ---------------------------------------------------------------------------------------

    def prediction(self, chain: Chain) -> Prediction:
        """What a chain should gain: the effects of its links in turn, and the minutes that it takes."""
        telling = [link for link in chain if not self._changes_nothing(link)] or [chain[-1]]
        criteria = self.sorting.criteria
        first = self.profile(telling[0])
        predicted = reduce(lambda one, other: in_turn(one, other, first, criteria), map(self._predicted, telling))
        spec = self.specs[chain[-1].technique]
        basis = self.bases.of(spec) or self.bases.original
        foreseen = self.minutes.foreseen(self._own(chain), basis, predicted)
        return with_experienced_minutes(foreseen, kinds_of_chain(chain, self.specs), self.knowledge.learned)

    def in_words(self, chain: Chain, prediction: Prediction) -> str:
        return describe(prediction, self.profile(chain[-1]))

    def profile(self, link: Application) -> GraphProfile:
        """The form of the model that a technique starts from."""
        return self.bases.profile(self.specs[link.technique])

    def _predicted(self, link: Application) -> Prediction:
        spec = self.specs[link.technique]
        return predict(spec, link.parameters, self.profile(link), self.sorting.criteria, self.knowledge)

    def _own(self, chain: Chain) -> list[tuple[TechniqueSpec, Mapping[str, Any]]]:
        """The links that are applied only for it: all from the first that changes weights on."""
        links = list(dropwhile(self._changes_nothing, chain)) or [chain[-1]]
        return [(self.specs[link.technique], link.parameters) for link in links]

    def _changes_nothing(self, link: Application) -> bool:
        return self.specs[link.technique].family in MADE_FOR_MANY
