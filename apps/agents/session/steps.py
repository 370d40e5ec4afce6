"""The steps of a session by key, and their artifacts by the chain that led to them.

An artifact is found by the techniques and parameters that were applied, whatever the key of its step. So candidates can
share it, and steps that an older version requested under other keys count as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from apps.agents.contracts.chain import MODEL, Applied, Chain, applied, given_for, prefix_key, sources
from apps.agents.contracts.state import ACTIVE, SessionState, Status, StepKind, StepRecord
from apps.agents.session.reading import Reading

ANALYSE, PLAN, PACKAGE = "analyse", "plan", "package"
PACKAGE_UNTRIED = "package-untried"
"""The same package without trying it. It is requested if the trial made the step fail."""
LOST = (Status.FAILED, Status.CANCELLED)


def analyse_key(maker: str) -> str:
    """The key of the step that analyses the artifact of the step `maker`."""
    return f"{maker}/{ANALYSE}"


def optimize_key(candidate: str) -> str:
    """The key of the step that applies a candidate's last link, unless other candidates share its artifact."""
    return f"{candidate}/optimize"


def starting_from(maker: str | None) -> dict[str, str]:
    """The parents of a step that starts from the artifact of the step `maker`, or from the original if it is `None`."""
    return {MODEL: maker} if maker else {}


def evaluate_key(candidate: str) -> str:
    """The key of the step that measures it on the validation part."""
    return f"{candidate}/evaluate"


def judge_key(candidate: str) -> str:
    """The key of the step that judges it on the test part, if it is a finalist."""
    return f"{candidate}/judge"


@dataclass(frozen=True)
class Steps:
    """The steps of a session by key."""

    by_key: Mapping[str, StepRecord]
    reading: Reading = field(default_factory=Reading, repr=False, compare=False)

    @classmethod
    def of(cls, state: SessionState, reading: Reading | None = None) -> Steps:
        return cls({step.request.key: step for step in state.steps}, reading or Reading())

    def get(self, key: str) -> StepRecord | None:
        return self.by_key.get(key)

    def completed(self, key: str) -> StepRecord | None:
        step = self.by_key.get(key)
        return step if step is not None and step.status is Status.COMPLETED else None

    @property
    def package(self) -> StepRecord | None:
        """The step that packs the result, the latest one that was requested."""
        return self.get(PACKAGE_UNTRIED) or self.get(PACKAGE)

    @property
    def active(self) -> int:
        return sum(step.status in ACTIVE and not step.stands_in for step in self.by_key.values())

    # --- what was made -----------------------------------------------------------------------------------------------

    @cached_property
    def _shared(self) -> Mapping[str, StepRecord]:
        """Steps that do not belong to a single candidate, by the key of the chain up to each."""
        made = [step for step in self.by_key.values() if step.request.kind is StepKind.OPTIMIZE]
        return {self._prefix_key(step): step for step in made if step.request.candidate is None}

    def _prefix_key(self, step: StepRecord) -> str:
        links: list[Applied] = []
        last: StepRecord | None = step
        while last is not None:
            links.append(self._applied(last))
            last = self.by_key.get(last.request.parent or "")
        return prefix_key(reversed(links))

    def key_made_by(self, step: StepRecord) -> str:
        """The key of the chain up to `step`, which need not be one of these."""
        return self._prefix_key(step)

    def _applied(self, step: StepRecord) -> Applied:
        """A step in the form from which the key of a chain is computed."""
        request = step.request
        further = {role: self._chain_key(key) for role, key in request.parents.items() if role != MODEL}
        return applied(request.technique or "", request.parameters, further)

    def _chain_key(self, key: str) -> str:
        """The key of the chain up to the step `key`."""
        step = self.by_key.get(key)
        return self._prefix_key(step) if step else key

    def chain_key(self, chain: Chain) -> str:
        """The key of the artifact that `chain` makes."""
        return self.reading.chain_key(chain)

    def made(self, chain: Chain) -> StepRecord | None:
        """The shared step that makes the artifact of `chain`; `None` if it was not requested."""
        return self._shared.get(self.chain_key(chain))

    def key_of(self, chain: Chain) -> str:
        """The key of the shared step of `chain`, whether it was requested or not."""
        step = self.made(chain)
        return step.request.key if step else self.chain_key(chain)

    def parents_of(self, chain: Chain) -> dict[str, str]:
        """By role: the keys of the steps whose artifacts the last link of `chain` reads."""
        further = chain[-1].inputs.items()
        return {
            **starting_from(self.key_of(chain[:-1]) if len(chain) > 1 else None),
            **{role: self.key_of(made) if made else given_for(role) for role, made in further},
        }

    def lost(self, chain: Chain) -> StepRecord | None:
        """The shared step of `chain` if it failed or was cancelled; else `None`."""
        step = self.made(chain)
        return step if step is not None and step.status in LOST else None

    def to_make(self, chain: Chain, *, whole: bool) -> Chain | None:
        """The first chain that `chain` needs and that was not requested; `None` if all were.

        This includes the chains of other models that its links read. `whole`: the whole chain is shared, so it counts
        too.
        """
        parts = (*sources(chain), chain) if whole else sources(chain)
        return next((part for part in parts if self.made(part) is None), None)

    def way_to(self, key: str) -> frozenset[str]:
        """The keys of the chains up to each step that led to the step `key`."""
        found = set()
        step = self.get(key)
        while step is not None and (step := self.get(step.request.parent or "")) is not None:
            found.add(self._prefix_key(step))
        return frozenset(found)

    @property
    def sharing(self) -> list[StepRecord]:
        """Every step that several candidates share."""
        return list(self._shared.values())

    def analysis_of(self, made: StepRecord) -> StepRecord | None:
        """The step that analyses the artifact of the step `made`, if there is one."""
        looks = (step for step in self.by_key.values() if step.request.kind is StepKind.ANALYSE)
        return next((step for step in looks if step.request.parent == made.request.key), None)

    @property
    def exported_analyses(self) -> list[StepRecord]:
        """The completed analyses of exports, in the order in which they were requested."""
        return [
            step
            for step in self.by_key.values()
            if step.request.kind is StepKind.ANALYSE and step.request.parent and step.status is Status.COMPLETED
        ]
