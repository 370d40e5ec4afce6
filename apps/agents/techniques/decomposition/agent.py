"""The base class of techniques that replace layers by smaller factors: what to replace, by what, and the recount."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import (
    TechniqueNotApplicable,
    TechniqueNothingToDecompose,
    TechniqueParameters,
)
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.decomposition.choice import BYTES, LATENCY, MACS, Choice, Chooser, Measurer
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.options import Factorizer
from apps.agents.techniques.decomposition.spread import Spread
from apps.agents.techniques.reduction import Reduction, ReductionAgent, Workload

_CHOSEN, _MADE = 0.7, 0.97
"""The progress when ranks are chosen, and when the artifact is written."""
_LACK = 0.005
"""The removed share may fall short by this much, because ranks change in steps."""
_NAMED = 3
Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class FittedFactor:
    """How well a layer's outputs are restored: the shares of their variance that are lost."""

    name: str
    error_before: float
    error: float


@dataclass(frozen=True)
class Plan:
    """What is to be done to a model: the choice, and the factors of each layer that is replaced."""

    choice: Choice
    chooser: Chooser


class CompressionAgent(ReductionAgent):
    """Replaces layers by factors. A subclass opens its models, measures and rewrites them.

    The forecast is that of the budget; what was reached is recounted on the artifact.
    """

    _after: Workload

    # --- what a backend supplies --------------------------------------------------------------------------------------

    @abstractmethod
    def open(self, assignment: Assignment) -> None:
        """Opens the model and looks for layers."""

    @abstractmethod
    def layers(self) -> tuple[Sequence[DenseLayer], Mapping[str, str]]:
        """The layers of the opened model that can be replaced, and why others with weights cannot, by their names."""

    @abstractmethod
    def whole(self) -> Workload:
        """What the opened model computes and stores."""

    @abstractmethod
    def spreads(self, assignment: Assignment) -> Iterator[Spread]:
        """How the inputs of each layer vary together on calibration examples, a few layers in memory at a time."""

    @abstractmethod
    def measurer(self, assignment: Assignment) -> Measurer:
        """What measures the opened model."""

    @abstractmethod
    def make(self, assignment: Assignment, plan: Plan, tell: Tell) -> tuple[Path, list[FittedFactor]]:
        """Writes the artifact, and tells how well factors were fitted, if they were."""

    @abstractmethod
    def recount(self, assignment: Assignment, artifact: Path) -> Workload:
        """What the artifact computes and stores."""

    # --- the order ----------------------------------------------------------------------------------------------------

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also opens the model. Raises `TechniqueParameters` for a budget that cannot be measured, and
        `TechniqueNothingToDecompose` with the reasons if no layer can be replaced."""
        super().check(assignment, context)
        chosen = assignment.parameters
        if chosen["budget"] == LATENCY and not chosen["timed"] and not chosen["ranks"]:
            reason = "with a budget of latency the layers must be timed; set timed, or choose macs or bytes"
            raise TechniqueParameters(reason=reason, field="parameters")
        self.open(assignment)
        found, left = self.layers()
        if not found:
            raise TechniqueNothingToDecompose(technique=assignment.spec.label, reason=why_none(left))

    def forecast(self, assignment: Assignment) -> Reduction:
        """Assumes that the share asked for is removed from work and weights alike.

        Raises `TechniqueNotApplicable` if the layers that can be replaced do not have that much.
        """
        whole, (found, _) = self.whole(), self.layers()
        part = Workload(sum(one.macs for one in found), sum(int(one.weight.size) for one in found))
        share, by_bytes = float(assignment.parameters["removed"]), assignment.parameters["budget"] == BYTES
        has, total = (part.parameters, whole.parameters) if by_bytes else (part.macs, whole.macs)
        if share * total >= has and not assignment.parameters["ranks"]:
            what = "parameters" if by_bytes else "multiply-accumulates"
            reason = f"{has / max(1, total):.0%} of its {what} are in layers that can be decomposed, so {share:.0%} of "
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=f"{reason}all cannot be removed")
        gone = min(1.0, share * total / max(1, has))
        left = Workload(whole.macs - round(gone * part.macs), whole.parameters - round(gone * part.parameters))
        return Reduction(whole, left)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        found, left = self.layers()
        factorizers = self._factorizers(assignment, found)
        whole = {MACS: float(self.whole().macs), BYTES: float(self.whole().parameters)}
        chooser = Chooser(factorizers, len(found), whole, self.measurer(assignment), _between(context, 0.0, _CHOSEN))
        choice = _chosen(chooser, assignment)
        plan = Plan(choice, chooser)
        artifact, fitted = self.make(assignment, plan, _between(context, _CHOSEN, _MADE))
        context.progress(_MADE, "counting what is left")
        self._after = self.recount(assignment, artifact)
        evidence: dict[str, Any] = {**self.reduction(assignment).evidence(), **choice.evidence(left)}
        evidence["fitted"] = [asdict(one) for one in fitted]
        return Applied(artifact, evidence, {"ranks": list(choice.names)})

    def reduction(self, assignment: Assignment) -> Reduction:
        return Reduction(self.whole(), self._after)

    def _factorizers(self, assignment: Assignment, found: Sequence[DenseLayer]) -> Iterator[Factorizer]:
        chosen = assignment.parameters
        known: Iterator[Spread] = (Spread.unknown(layer.matrix.shape[1]) for layer in found)
        if chosen["weighted"]:
            known = (one.damped(float(chosen["ridge"])) for one in self.spreads(assignment))
        for layer, spread in zip(found, known, strict=True):
            yield Factorizer(layer, spread, int(chosen["multiple_of"]), assignment.seed)


def why_none(left: Mapping[str, str]) -> str:
    """Why no layer can be replaced, with the reasons for the first few."""
    given = [f"{name}: {reason}" for name, reason in list(left.items())[:_NAMED]]
    return "; ".join(given) or "it has no convolution or matrix product with stored weights"


def _between(context: Context, begin: float, end: float) -> Tell:
    return lambda share, what: context.progress(begin + (end - begin) * share, what)


def _chosen(chooser: Chooser, assignment: Assignment) -> Choice:
    """The ranks given, or the best ones for the budget. Raises `TechniqueNotApplicable` if it cannot be met."""
    parameters, label = assignment.parameters, assignment.spec.label
    if parameters["ranks"]:
        try:
            return chooser.given(parameters["ranks"])
        except ValueError as error:
            raise TechniqueParameters(reason=f"ranks: {error}", field="parameters") from error
    choice = chooser.choose(parameters)
    asked = float(parameters["removed"])
    if choice.saved < asked - _LACK or not choice.replaced:
        few = [f"{name} is left: {reason}" for name, reason in list(choice.left.items())[:_NAMED]]
        reason = f"at most {choice.saved:.0%} of the {parameters['budget']} can be removed, not {asked:.0%}"
        raise TechniqueNotApplicable(technique=label, reason="; ".join([reason, *few]))
    return choice
