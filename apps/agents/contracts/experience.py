"""What ended sessions have shown: an `Experience` per measured candidate, and the corrections that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value


class Fingerprint(Value):
    """What decides whether the measurements of one session say something about another one."""

    format: str
    network: str
    """What such networks are called in a sentence, in the plural: `encoders`."""
    operators: dict[str, int]
    """Operators by type. Depthwise convolutions are counted apart from other convolutions."""
    parameters: int
    size_bytes: int
    task: str
    metric: str
    """The primary metric, in whose unit losses are."""
    counted_size: str
    machine_class: str
    """A `MachineClass`: how fast such machines compute with narrow number types."""
    hostname: str = ""
    processor: str = ""
    """The CPU, or the accelerator on which the session measures."""
    threads: int = 1
    batch_size: int = 1
    material: str = ""
    """Equal for sessions that compare with the very same model on the very same examples; empty if not known."""


class Expected(Value):
    """The numbers of a prediction, in the units of `Prediction`."""

    speedup: float
    size_ratio: float
    metric_drop_points: float
    minutes: float | None = None
    """For making and measuring the candidate; `None` if not predicted."""
    risk: str | None = None
    """That the loss breaks its limit: a `Risk`; `None` where it was not kept."""


class Provenance(Value):
    """Where an experience comes from."""

    session: str
    team: str = ""
    candidate: str = ""
    measured_at: datetime | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    """The versions on the machine that measured it."""


class Experience(Value):
    """One measured candidate of an ended session: what was expected of it, and what was measured."""

    fingerprint: Fingerprint
    kinds: tuple[str, ...]
    """What it is an example of, from the broadest to the narrowest: see `apps.agents.memory.kinds`."""
    family: str = ""
    """The families of the techniques that made it, as in `pruning + quantization`."""
    chain: Chain = ()
    """Empty where only corrections are computed."""
    tables: Expected
    """What the specs and tables expected, before any history moved it. Corrections are relative to this."""
    predicted: Expected | None = None
    """What the plan said; `None` where only corrections are computed."""
    speedup: Estimate | None
    """`None` if the machine was too busy to time it."""
    size_ratio: float
    drop: Estimate
    minutes: float | None = None
    """What making it and measuring it for the ranking took; `None` if not known."""
    verdict: str = ""
    """A `Holds`: whether it holds every limit."""
    loss_verdict: str = ""
    """A `Holds`: whether it holds the limit on the loss; empty without one, or where it was not kept."""
    provenance: Provenance


class Lesson(Value):
    """How predictions of one kind are corrected, and from how much that is known.

    A factor is measured over expected. That of the loss is between losses to which `LEAST_LOSS_POINTS` is added.
    """

    speedup: float = 1.0
    size_ratio: float = 1.0
    loss: float = 1.0
    minutes: float = 1.0
    weight: float = 0.0
    """How much of the expected speed-up is the team's own experience, from 0 (none) to 1 (all)."""
    loss_weight: float = 0.0
    """The same for the loss."""
    sessions: int = 0
    similar_to: str = ""
    """Where it was learned: `similar encoders on this machine`."""


class Learned(Value):
    """A frozen state of the history, as a session's plan uses it. Empty without a history."""

    lessons: dict[str, Lesson] = Field(default_factory=dict)
    """By kind. That of the empty kind is of all candidates, and only tells about minutes."""

    @property
    def of_any(self) -> Lesson:
        """The lesson of all candidates."""
        return self.lessons.get("", Lesson())

    def of(self, kinds: Sequence[str]) -> Lesson | None:
        """The lesson on the narrowest of these kinds that is known; `None` if none is. The broadest comes first."""
        return next((self.lessons[kind] for kind in reversed(kinds) if kind in self.lessons), None)


LEAST_LOSS_POINTS = 0.5
"""Added to both losses before they are divided: half of a usual limit. Below it, a ratio of losses says nothing."""
