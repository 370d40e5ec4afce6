"""What a model card and a bill of materials say about a delivered model.

`apps.optimization.services.card` fills it for a session, and `apps.agents.packaging` writes it as Markdown and as
CycloneDX.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.state import Outcome
from apps.agents.contracts.values import Value


class CardFile(Value):
    """A model's file, as the store knows it."""

    name: str
    """Of the model, with its version."""
    sha256: str | None = Field(pattern="^[0-9a-f]{64}$")
    """`None` if the file is not kept any more and its digest was not recorded."""
    size_bytes: int | None
    format: str
    """As people call it."""
    runtime: str


class CardStep(Value):
    """One technique of the chain from the original to the delivered model."""

    title: str
    technique: str
    parameters: dict[str, Any]
    libraries: dict[str, str] = {}
    """The distributions that it ran with, by name: their versions."""


class CardMetric(Value):
    """One measured quantity of the original and of the delivered model, each with its interval if it has one."""

    key: str
    """A name that does not change, such as `accuracy` or `latency_p50`."""
    label: str
    unit: str
    original: Estimate | None
    """`None` if only the delivered model was measured."""
    delivered: Estimate
    change: Estimate | None = None
    """Delivered minus original in `change_unit`, or original over delivered if that is `×`; `None` if the original
    stands."""
    change_unit: str = ""


class CardLimit(Value):
    """One limit of the criteria and what the measurement says of it."""

    sentence: str
    status: str
    """A value of `Holds`."""


class CardData(Value):
    """The data set on which the models were compared."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    task: str
    examples: int
    """Of the whole data set."""
    measured_on: int | None
    """How many examples the metrics are from; `None` if no metric was measured."""
    judged: bool
    """Whether these examples played no part in the choice of the delivered model."""
    notes: tuple[str, ...] = ()


class CardTiming(Value):
    """How speed was measured."""

    batch_size: int
    threads: int
    runs: int


class CardTexts(Value):
    """The sections of a card that members write, in Markdown. Empty ones are left out.

    They are those of Mitchell et al., *Model Cards for Model Reporting* (2019), that no measurement can fill.
    """

    intended_use: str = ""
    training_data: str = ""
    limitations: str = ""
    ethical_considerations: str = ""
    contacts: str = ""


class ModelCard(Value):
    """What a session delivers: what it is, where it is from, what was measured, and what is not known."""

    session: str
    decision: int = 0
    """The number of the session's decision that delivered it."""
    made_at: datetime
    lathe: str
    """The version of Lathe."""
    outcome: Outcome
    headline: str
    """Without a full stop."""
    reason: str
    model: CardFile
    original: CardFile
    student: CardFile | None = None
    """The model that was trained with the original as its teacher, if the delivered one was made from it."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    """Numbers in the original's weights."""
    steps: tuple[CardStep, ...]
    """Empty if the original stands."""
    metrics: tuple[CardMetric, ...]
    confidence: float
    limits: tuple[CardLimit, ...]
    data: CardData
    machine: Machine | None
    """`None` before anything was measured."""
    timing: CardTiming | None
    warnings: tuple[str, ...]
    """Sentences."""
    texts: CardTexts = CardTexts()
    readme: str = ""
    """What the team says about the model, in Markdown."""
    signed_by: str | None = None
    """SHA-256 of the public key whose private half signs the package; `None` if it is not signed."""

    @property
    def stands(self) -> bool:
        """Whether the delivered model is the original."""
        return not self.steps
