"""The PlanningAgent. It turns facts about model, machine, criteria and number types into a plan with reasons."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from math import log10
from typing import Any

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.plan_edits import NO_EDITS, PlanEdits
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.reports.room import WorkersRoom
from apps.agents.contracts.reports.slack import Foreseen
from apps.agents.contracts.state import CandidateRecord, Omission, Plan, Prediction
from apps.agents.memory.kinds import kinds_of_chain
from apps.agents.planning.availability import Sorting
from apps.agents.planning.baseline import is_baseline
from apps.agents.planning.bases import Bases, bases_of_analyses, bases_of_model
from apps.agents.planning.chains import Heads, application_of
from apps.agents.planning.cuts import fits_behind, trained_cuts
from apps.agents.planning.drafts import Drafts
from apps.agents.planning.edits import edited
from apps.agents.planning.experience import with_experience, with_experienced_minutes
from apps.agents.planning.feasibility import OriginalFacts, Point, nearest_feasible
from apps.agents.planning.minutes import Minutes
from apps.agents.planning.ordering import collapse, comes_last, no_gain, obstacle, predicted_gain, worth
from apps.agents.planning.prediction import in_turn_with_experience, noise_by_operator, predict, scope_of
from apps.agents.planning.room import against_the_workers, with_room
from apps.agents.planning.summary import describe, summary, tables_in_words
from apps.agents.techniques.catalogue import BUILTIN, Family, TechniqueSpec, catalogue
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from apps.agents.techniques.knowledge.technique import QuantizationKnowledge
from apps.agents.techniques.knowledge.variant import NO_PLACE, Variant
from apps.agents.techniques.library_calls import words_of
from apps.agents.techniques.variants import KEPT_NODES, variants_of

logger = logging.getLogger(__name__)

TYPE_CHOICES = 2
"""At least this many choices of number types are measured if the budget allows, because predictions for kernels are
uncertain."""
MOST_OF_THE_WORK = 0.5


def type_choice(spec: TechniqueSpec | None, parameters: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The technique and number types of a candidate, to tell choices apart; `None` if it does not choose number
    types."""
    types = spec.knowledge.number_types(parameters) if spec else None
    return None if spec is None or types is None else (spec.name, *types)


@dataclass(frozen=True)
class _Weighed:
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


class PlanningAgent:
    """Plans by rules and by cost and benefit. `specs` is the catalogue of techniques; by default, all known ones."""

    def __init__(self, specs: Mapping[str, TechniqueSpec] | None = None, knowledge: Knowledge = TABLES) -> None:
        self.specs = catalogue() if specs is None else specs
        self.knowledge = knowledge

    def plan(
        self,
        analysis: AnalysisReport,
        criteria: Criteria,
        dataset: DatasetSummary,
        *,
        exported: Sequence[AnalysisReport] = (),
        export_failures: Mapping[str, str] | None = None,
        libraries: Iterable[str] = (),
        disabled: Iterable[str] = (),
        training_share: float = 0.0,
        student: ModelSummary | None = None,
        edits: PlanEdits = NO_EDITS,
        workers: WorkersRoom | None = None,
    ) -> Plan:
        """The plan for an analysed model: candidates in the order of their worth, and what was left out and why.

        `exported` are the analyses of the models that it was exported to, from which techniques for other runtimes
        start. `export_failures` says, by target format, why an export that was tried failed. `student` is the model
        that a member gave the session to be trained. `edits` are what a member changed about the plan. `workers` says
        how much memory and disk a step may take.
        """
        bases = replace(bases_of_analyses(analysis, exported, dataset.task), student=student)
        sorting = Sorting(bases, criteria, dataset, tuple(libraries), tuple(disabled), export_failures or {})
        plan = self._edited(sorting, Minutes(criteria, dataset, training_share), edits)
        return against_the_workers(plan, workers)

    def preview(
        self,
        model: ModelSummary,
        dataset: DatasetSummary,
        criteria: Criteria,
        libraries: Iterable[str] = (),
        disabled: Iterable[str] = (),
        student: ModelSummary | None = None,
        edits: PlanEdits = NO_EDITS,
        workers: WorkersRoom | None = None,
    ) -> Plan:
        """The plan before anything has run: the same rules, but sensitivities and times are unknown."""
        bases = bases_of_model(model, dataset.task, student)
        sorting = Sorting(bases, criteria, dataset, tuple(libraries), tuple(disabled))
        return against_the_workers(self._edited(sorting, Minutes(criteria, dataset), edits), workers)

    def drafts(self, sorting: Sorting, minutes: Minutes) -> Drafts:
        """What makes candidates of chains that a member names."""
        return Drafts(sorting, minutes, self.specs, sorting.sort(self.specs)[0], self.knowledge)

    def _edited(self, sorting: Sorting, minutes: Minutes, edits: PlanEdits) -> Plan:
        plan = self._plan_of_sound(sorting.bases, minutes, *sorting.sort(self.specs))
        return edited(plan, edits, self.drafts(sorting, minutes)) if edits.count else plan

    def _plan_of_sound(
        self, bases: Bases, minutes: Minutes, available: Mapping[str, TechniqueSpec], omitted: list[Omission]
    ) -> Plan:
        """The plan; techniques of other packages whose own code fails are left out, each with what it raised.

        What fails is found by planning with one technique more each time, so it is clear whose code it was.
        """
        try:
            return self._plan(bases, minutes, available, omitted)
        except Exception:
            logger.exception("Planning failed; what other packages have added is tried one by one.")
        sound = {name: spec for name, spec in available.items() if _is_own(spec)}
        failed: list[Omission] = []
        for name, spec in available.items():
            if name in sound:
                continue
            try:
                self._plan(bases, minutes, {**sound, name: spec}, [])
            except Exception as error:
                reason = f"Its own code failed while it was planned ({words_of(error)}). Tell whoever maintains it."
                failed.append(Omission(technique=name, title=spec.label, reason=reason))
            else:
                sound[name] = spec
        return self._plan(bases, minutes, sound, omitted + failed)

    def _plan(
        self,
        bases: Bases,
        minutes: Minutes,
        available: Mapping[str, TechniqueSpec],
        omitted: list[Omission],
    ) -> Plan:
        criteria = minutes.criteria
        heads = Heads(bases, self.specs, available.__contains__)
        weighed = [self._weigh(variant, available, heads, criteria) for variant in _grid(bases, available)]
        weighed += [rescue for item in weighed if (rescue := self._rescue(item, criteria))]
        continued = [both for item in weighed if (both := self._handed_on(item, weighed, bases, criteria))]
        cut = self._cut(bases, available, criteria)
        weighed += continued + [self._handed_on(item, weighed, bases, criteria) or item for item in cut]
        weighed = [self._foreseen(item, bases, minutes) for item in weighed]
        weighed.sort(key=lambda item: -_worth(item, criteria))
        chosen = [item for item in weighed if not item.firm and (not item.soft or _asked_for(item, criteria))]
        chosen += _measured_anyway(chosen, weighed)
        chosen += _required_anyway(chosen, weighed, criteria)
        chosen += [item for item in weighed if item not in chosen and any(_is_baseline(item, one) for one in chosen)]
        chosen.sort(key=lambda item: (comes_last(self._applied(item)), -_worth(item, criteria)))
        omitted = omitted + [
            Omission(technique=item.spec.name, title=item.title, reason=_sentence(item.firm or item.soft or ""))
            for item in weighed
            if item not in chosen
        ]
        omitted += _not_tried(chosen)
        candidates = tuple(_record(number, item, criteria) for number, item in enumerate(chosen, start=1))
        nearest = _nearest(chosen, weighed, bases, criteria)
        said = f"{summary(bases, candidates, criteria)}{f' {nearest.sentence}' if nearest else ''}"
        return Plan(summary=said, candidates=candidates, omitted=tuple(omitted), nearest=nearest)

    def _cut(self, bases: Bases, available: Mapping[str, TechniqueSpec], criteria: Criteria) -> list[_Weighed]:
        """Pruned models that are trained again. They are measured by themselves only if nothing can follow."""
        profile = bases.original.profile
        made: list[_Weighed] = []
        for cut in trained_cuts(available, criteria, bases.original.model.format, bases.student_share):
            last = cut.chain[-1]
            variant = Variant(last.technique, last.parameters, cut.reason)
            spec = available[last.technique]
            kinds = kinds_of_chain(cut.chain, self.specs)
            prediction = with_experience(cut.prediction, kinds, self.knowledge.learned, criteria)
            firm = obstacle(prediction, profile, criteria)
            # What a member gave is measured, whatever its parameters promise.
            soft = None if spec.trains_student else no_gain(prediction, criteria)
            made.append(_Weighed(variant, spec, prediction, firm, soft, 1.0, profile, cut.chain[:-1]))
        return made

    def _before(self, item: _Weighed) -> list[tuple[TechniqueSpec, Mapping[str, Any]]]:
        """The links before its last one that are applied only for it: all from the first that cuts weights on."""
        links = [(self.specs[link.technique], link.parameters) for link in item.head]
        return list(dropwhile(lambda link: link[0].family in (Family.EXPORT, Family.GRAPH), links))

    def _foreseen(self, item: _Weighed, bases: Bases, minutes: Minutes) -> _Weighed:
        """With the minutes that it takes, and those of what is made before it for it alone."""
        applied = (*self._before(item), (item.spec, item.variant.parameters))
        basis = bases.of(item.spec) or bases.original
        foreseen = minutes.foreseen(applied, basis, with_room(item.prediction, [spec for spec, _ in applied], basis))
        kinds = kinds_of_chain((*item.head, item.application), self.specs)
        return replace(item, prediction=with_experienced_minutes(foreseen, kinds, self.knowledge.learned))

    def _weigh(
        self, variant: Variant, available: Mapping[str, TechniqueSpec], heads: Heads, criteria: Criteria
    ) -> _Weighed:
        spec = available[variant.technique]
        return self._weighed(spec, variant, heads.of(spec), heads.bases.profile(spec), criteria)

    def _weighed(
        self, spec: TechniqueSpec, variant: Variant, head: Chain, profile: GraphProfile, criteria: Criteria
    ) -> _Weighed:
        complete = Variant(variant.technique, spec.resolve(variant.parameters), variant.reason)
        prediction = predict(spec, complete.parameters, profile, criteria, self.knowledge)
        firm, soft = _reasons_against(spec, complete.parameters, prediction, profile, criteria)
        reach = sum(node.time_share for node in scope_of(spec, complete.parameters, profile).nodes)
        return _Weighed(complete, spec, prediction, firm, soft, reach, profile, head)

    def _rescue(self, item: _Weighed, criteria: Criteria) -> _Weighed | None:
        """A variant that is predicted to collapse, with as few nodes in float as reduce its loss to half of the limit.

        `None` if it would not gain anything then, or if operator types explain the collapse: other variants keep those
        in float.
        """
        profile = item.profile
        if not collapse(item.prediction, criteria):
            return None
        nodes = scope_of(item.spec, item.variant.parameters, profile).nodes
        known = item.spec.knowledge
        if isinstance(known, QuantizationKnowledge) and {node.op_type for node in nodes} & set(known.fragile(profile)):
            return None
        kept = self._fewest_in_float(item, {node.name for node in nodes if node.noise is not None}, criteria)
        if not kept:
            return None
        parameters = {**item.variant.parameters, KEPT_NODES: kept}
        count = f"{len(kept)} most sensitive node{'s stay' if len(kept) > 1 else ' stays'}"
        reason = f"{item.variant.reason.removesuffix('.')}; the {count} in float, without which it would collapse."
        rescued = self._weighed(item.spec, Variant(item.spec.name, parameters, reason), item.head, profile, criteria)
        return None if rescued.firm or rescued.soft else rescued

    def _handed_on(
        self, item: _Weighed, weighed: Sequence[_Weighed], bases: Bases, criteria: Criteria
    ) -> _Weighed | None:
        """A variant with the most promising technique after it that its knowledge names; `None` if there is none.

        A limit that either would break alone may hold for both together.
        """
        families = item.spec.knowledge.hands_on_to
        links, given = (*item.head, item.application), bases.original.model.format
        later = [
            one
            for one in weighed
            if one.spec.family in families
            and not (one.soft or collapse(one.prediction, criteria))
            and not comes_last(self._applied(one))
            and fits_behind(links, (*one.head, one.application), self.specs, given)
        ]
        if not later or collapse(item.prediction, criteria):
            return None
        best = max(later, key=lambda one: _worth(one, criteria))
        kinds = kinds_of_chain((*links, *best.head, best.application), self.specs)
        prediction = in_turn_with_experience(
            item.prediction, best.prediction, item.profile, criteria, kinds, self.knowledge.learned
        )
        reason = f"{item.variant.reason} Then: {best.variant.reason}"
        return replace(
            best,
            variant=Variant(best.spec.name, best.variant.parameters, reason),
            prediction=prediction,
            firm=obstacle(prediction, item.profile, criteria),
            soft=no_gain(prediction, criteria),
            head=(*links, *best.head),
        )

    def _applied(self, item: _Weighed) -> list[TechniqueSpec]:
        """The techniques of an item, in turn."""
        return [*(self.specs[link.technique] for link in item.head), item.spec]

    def _fewest_in_float(self, item: _Weighed, names: set[str], criteria: Criteria) -> list[str] | None:
        profile = item.profile
        limit = criteria.constraints.max_metric_drop_points or 0.0
        ranked = [node.name for node in profile.ranking if node.name and node.name in names]
        counts = range(1, len(ranked) // 2 + 1)

        def holds(count: int) -> bool:
            parameters = {**item.variant.parameters, KEPT_NODES: ranked[:count]}
            return predict(item.spec, parameters, profile, criteria, self.knowledge).metric_drop_points <= limit / 2

        index = bisect_left(counts, True, key=holds)
        return ranked[: counts[index]] if index < len(counts) else None


def plan_preview(
    model: ModelSummary,
    dataset: DatasetSummary,
    criteria: Criteria,
    libraries: Iterable[str] = (),
    disabled: Iterable[str] = (),
    student: ModelSummary | None = None,
    edits: PlanEdits = NO_EDITS,
    knowledge: Knowledge = TABLES,
    workers: WorkersRoom | None = None,
) -> Plan:
    """What a session would try, for the page that starts one. See `PlanningAgent.preview`."""
    agent = PlanningAgent(knowledge=knowledge)
    return agent.preview(model, dataset, criteria, libraries, disabled, student, edits, workers)


def _is_own(spec: TechniqueSpec) -> bool:
    return any(spec is own for own in BUILTIN)


def _grid(bases: Bases, available: Mapping[str, TechniqueSpec]) -> list[Variant]:
    """All variants to consider: first exports, then variants with a `place`, form by form, then all others."""
    placed: list[tuple[tuple[bool, bool, int, int], Variant]] = []
    for spec in available.values():
        basis = bases.of(spec)
        assert basis is not None, "an available technique takes a form of the model"
        for variant in variants_of(spec, basis.profile):
            place = variant.place == NO_PLACE
            order = spec.family is not Family.EXPORT, place, 0 if place else bases.forms.index(basis), variant.place
            placed.append((order, variant))
    return [variant for _, variant in sorted(placed, key=lambda item: item[0])]


def _reasons_against(
    spec: TechniqueSpec,
    parameters: Mapping[str, Any],
    prediction: Prediction,
    profile: GraphProfile,
    criteria: Criteria,
) -> tuple[str | None, str | None]:
    """The firm reason to leave a variant out, and the soft one: a predicted lack of gain, which may be wrong."""
    if spec.knowledge.tried_anyway or spec.family is Family.EXPORT:
        return None, None
    if lost := collapse(prediction, criteria):
        return f"{lost}: {_culprits(spec, parameters, profile)}", None
    return obstacle(prediction, profile, criteria), no_gain(prediction, criteria)


def _culprits(spec: TechniqueSpec, parameters: Mapping[str, Any], profile: GraphProfile) -> str:
    """The operator types behind a predicted collapse, with their signal to quantization noise."""
    noises = noise_by_operator(profile, scope_of(spec, parameters, profile))
    worst = sorted(noises, key=lambda op_type: -noises[op_type])[:2]
    source = "measured" if profile.measured and set(worst) <= set(profile.operator_noise) else "known of such networks"
    named = " and ".join(f"{op_type} ({-10 * log10(max(noises[op_type], 1e-12)):.1f} dB)" for op_type in worst)
    return f"quantizing {named} leaves too little signal over noise ({source})"


def _nearest(
    chosen: Sequence[_Weighed], weighed: Sequence[_Weighed], bases: Bases, criteria: Criteria
) -> Foreseen | None:
    """The weighed point nearest to the limits, if all limits together are out of reach; else `None`.

    Nothing is said while a candidate is to be tried of which the predictions do not tell enough.
    """
    if any(_open_ended(item, bases) for item in chosen):
        return None
    points = [Point(item.title, item.prediction) for item in weighed]
    profile = bases.original.profile
    return nearest_feasible(points, criteria, OriginalFacts(profile.original_bytes, profile.original_latency_ms))


def _open_ended(item: _Weighed, bases: Bases) -> bool:
    """Whether an item that is tried may lead to more than is predicted of it: an export whose techniques can be weighed
    only once it is analysed, or a technique that is always tried. Optimizing the graph keeps all weights."""
    if item.spec.family is Family.EXPORT:
        return bases.made_by(item.spec) is None
    return item.spec.knowledge.tried_anyway and item.spec.family is not Family.GRAPH


def _measured_anyway(chosen: list[_Weighed], weighed: list[_Weighed]) -> list[_Weighed]:
    """The best variants of further number types, if fewer than `TYPE_CHOICES` are chosen, although predicted to be
    slow.

    A variant with a predicted speed below half of the original's is still left out. So is one that leaves most of the
    work unchanged, because it shows little about a number type.
    """
    types = {choice for item in chosen if item.reach >= MOST_OF_THE_WORK and (choice := _choice(item))}
    more: list[_Weighed] = []
    for item in weighed:
        choice = _choice(item)
        if len(types) >= TYPE_CHOICES:
            break
        if item.firm or not item.soft or not choice or choice in types:
            continue
        if item.prediction.speedup < 0.5 or item.reach < MOST_OF_THE_WORK:
            continue
        types.add(choice)
        more.append(item)
    return more


def _required_anyway(chosen: list[_Weighed], weighed: list[_Weighed], criteria: Criteria) -> list[_Weighed]:
    """The best variant of each required technique of which none is chosen, although no gain is predicted."""
    more: list[_Weighed] = []
    for technique in criteria.required_techniques:
        if any(item.applies(technique) for item in (*chosen, *more)):
            continue
        more += [item for item in weighed if not item.firm and item.applies(technique)][:1]
    return more


def _asked_for(item: _Weighed, criteria: Criteria) -> bool:
    """Whether the criteria name this technique and its gain cannot be predicted. It is then measured in any case."""
    return criteria.names(item.spec.name) and not item.spec.knowledge.predicts


def _is_baseline(item: _Weighed, clever: _Weighed) -> bool:
    """Whether `item` is the baseline that `clever` has to beat. It is then measured in any case."""
    return is_baseline(item.spec, item.variant.parameters, clever.spec, clever.variant.parameters)


def _choice(item: _Weighed) -> tuple[str, ...] | None:
    return type_choice(item.spec, item.variant.parameters)


def _worth(item: _Weighed, criteria: Criteria) -> float:
    return worth(predicted_gain(item.prediction, criteria), item.prediction, item.spec)


def _record(number: int, item: _Weighed, criteria: Criteria) -> CandidateRecord:
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


def _tables(item: _Weighed) -> str:
    """What happens to the embedding tables, if they are large enough to mention."""
    if not item.spec.knowledge.predicts:
        return ""
    changed = {node.op_type for node in scope_of(item.spec, item.variant.parameters, item.profile).nodes}
    sentence = tables_in_words(item.profile, changed)
    return f"{sentence} " if sentence else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _not_tried(chosen: list[_Weighed]) -> list[Omission]:
    """The settings of the chosen techniques that are never tried, with the reasons."""
    tried = {item.spec.name: item.spec for item in chosen}
    return [
        Omission(technique=spec.name, title=f"{spec.label}: {part.title}", reason=part.reason)
        for spec in tried.values()
        for part in spec.knowledge.not_tried
    ]
