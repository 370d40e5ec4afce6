"""The PlanningAgent. It turns facts about model, machine, criteria and number types into a plan with reasons."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import dropwhile
from math import log10
from typing import Any

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.contracts.plan_edits import NO_EDITS, PlanEdits
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.reports.room import WorkersRoom
from apps.agents.contracts.state import Omission, Plan, Prediction
from apps.agents.memory.kinds import kinds_of_chain
from apps.agents.planning.availability import Sorting
from apps.agents.planning.bases import Bases, bases_of_analyses, bases_of_model
from apps.agents.planning.chains import Heads
from apps.agents.planning.choosing import (
    asked_for,
    is_baseline_of,
    measured_anyway,
    nearest_of,
    not_tried,
    required_anyway,
)
from apps.agents.planning.cuts import fits_behind, lessons_of, trained_cuts
from apps.agents.planning.drafts import Drafts
from apps.agents.planning.edits import edited
from apps.agents.planning.experience import with_experience, with_experienced_minutes
from apps.agents.planning.minutes import Minutes
from apps.agents.planning.ordering import collapse, no_gain, obstacle, one_at_a_time
from apps.agents.planning.prediction import in_turn_with_experience, noise_by_operator, predict, scope_of, suited
from apps.agents.planning.room import against_the_workers
from apps.agents.planning.shared_steps import MADE_FOR_MANY, SharedSteps
from apps.agents.planning.speed_goals import Pace, pace_of
from apps.agents.planning.summary import summary
from apps.agents.planning.weighed import Weighed, as_sentence, foreseen, record_of, worth_of
from apps.agents.techniques.catalogue import BUILTIN, Family, TechniqueSpec, catalogue
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from apps.agents.techniques.knowledge.technique import QuantizationKnowledge
from apps.agents.techniques.knowledge.variant import NO_PLACE, Variant
from apps.agents.techniques.library_calls import words_of
from apps.agents.techniques.variants import KEPT_NODES, variants_of

logger = logging.getLogger(__name__)

PACE_ROUNDS = 8
"""Rounds in which the depth of a cut and the gain of what follows are brought together."""


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
        minutes = Minutes(criteria, dataset, throughput=self.knowledge.throughput)
        return against_the_workers(self._edited(sorting, minutes, edits), workers)

    def drafts(self, sorting: Sorting, minutes: Minutes) -> Drafts:
        """What makes candidates of chains that a member names."""
        return Drafts(sorting, minutes, self.specs, sorting.sort(self.specs)[0], self.knowledge)

    def _edited(self, sorting: Sorting, minutes: Minutes, edits: PlanEdits) -> Plan:
        plan = self._plan_of_sound(sorting.bases, minutes, *sorting.sort(self.specs))
        plan = edited(plan, edits, self.drafts(sorting, minutes)) if edits.count else plan
        shared = SharedSteps(sorting.bases, minutes, self.specs, self.knowledge.usual_s)
        return plan.model_copy(update={"shared": shared.of(plan.candidates)})

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
        continued += self._handed_over(weighed, continued, bases, criteria)
        paced = self._paced(weighed, bases, criteria)
        trained = self._trained(weighed, bases, available, minutes)
        weighed += continued + paced + trained
        weighed = [self._foreseen(item, bases, minutes) for item in weighed]
        weighed.sort(key=lambda item: -worth_of(item, criteria))
        chosen = [item for item in weighed if not item.firm and (not item.soft or asked_for(item, criteria))]
        chosen += measured_anyway(chosen, weighed)
        chosen += required_anyway(chosen, weighed, criteria)
        chosen += [item for item in weighed if item not in chosen and any(is_baseline_of(item, one) for one in chosen)]
        chosen.sort(key=lambda item: (one_at_a_time(self._applied(item)), -worth_of(item, criteria)))
        omitted = omitted + [
            Omission(technique=item.spec.name, title=item.title, reason=as_sentence(item.firm or item.soft or ""))
            for item in weighed
            if item not in chosen
        ]
        omitted += not_tried(chosen)
        candidates = tuple(record_of(number, item, criteria) for number, item in enumerate(chosen, start=1))
        nearest = nearest_of(chosen, weighed, bases, criteria)
        text = f"{summary(bases, candidates, criteria)}{f' {nearest.sentence}' if nearest else ''}"
        return Plan(summary=text, candidates=candidates, omitted=tuple(omitted), nearest=nearest)

    def _paced(self, weighed: Sequence[Weighed], bases: Bases, criteria: Criteria) -> list[Weighed]:
        """Variants that are cut until they meet the limits on speed, alone and with the best technique after them.

        None is made where the gentlest variant is fast enough.
        """
        gentlest: dict[str, Weighed] = {}
        for item in sorted(weighed, key=lambda one: one.prediction.speedup):
            gentlest.setdefault(item.spec.name, item)
        alone = [self._at_pace(item, criteria) for item in gentlest.values()]
        behind = [self._followed_at_pace(item, weighed, bases, criteria) for item in gentlest.values()]
        return [item for item in (*alone, *behind) if item is not None]

    def _followed_at_pace(
        self, item: Weighed, weighed: Sequence[Weighed], bases: Bases, criteria: Criteria
    ) -> Weighed | None:
        """The item's technique cut as deep as the limits ask beside the gain of what follows, with what follows.

        The deeper the cut, the less the second gains, so the depth is found in a few rounds.
        """
        cut: Weighed | None = item
        both = self._handed_on(item, weighed, bases, criteria)
        for _ in range(PACE_ROUNDS):
            if cut is None or both is None:
                return None
            cut = self._at_pace(item, criteria, both.prediction.speedup / cut.prediction.speedup)
            both = self._handed_on(cut, weighed, bases, criteria) if cut else None
        return both

    def _at_pace(self, item: Weighed, criteria: Criteria, later: float = 1.0) -> Weighed | None:
        """The item's technique with the speed that limits ask of it; `None` if they ask none, or the item is that fast.

        `later` is how many times faster what follows makes it.
        """
        pace = pace_of(item.spec, criteria, item.profile, later)
        if pace is None or pace.speedup <= item.prediction.speedup / item.profile.lead.speedup:
            return None
        reason = "Channels cut until the limits on speed can be met, and the layers after them fitted again."
        variant = Variant(item.spec.name, pace.parameters, reason)
        return self._weighed(item.spec, variant, item.head, item.profile, criteria)

    def _trained(
        self, weighed: Sequence[Weighed], bases: Bases, available: Mapping[str, TechniqueSpec], minutes: Minutes
    ) -> list[Weighed]:
        """Pruned models that are trained again, with what follows. They are measured by themselves only if nothing can
        follow.

        If the criteria limit the speed, the first is cut as deep as that takes beside the gain of what follows. The
        deeper the cut, the less that gains, so the depth is found in a few rounds.
        """
        pace: Pace | None = None
        for _ in range(PACE_ROUNDS):
            cut = self._cut(bases, available, minutes, pace)
            handed = [self._handed_on(item, weighed, bases, minutes.criteria) or item for item in cut]
            asked = (self._pace(*pair, minutes.criteria) for pair in zip(cut, handed, strict=True) if pair[0].head)
            if (again := next(asked, None)) is None:
                break
            pace = again
        floats = [self._unquantized(*pair, minutes.criteria) for pair in zip(cut, handed, strict=True)]
        return handed + [item for item in floats if item is not None]

    def _unquantized(self, cut: Weighed, handed: Weighed, criteria: Criteria) -> Weighed | None:
        """The float model of which `handed` is the quantized one, in its runtime; `None` if that is the cut itself.

        It is made in any case, and a small network may lose more by quantization than it gains.
        """
        links = [link for link in handed.head[len(cut.head) + 1 :] if not link.optional]
        if not links:
            return None
        last, lead = links[-1], handed.profile.lead
        prediction = cut.prediction.model_copy(
            update={
                "speedup": round(cut.prediction.speedup * lead.speedup, 3),
                "size_ratio": round(cut.prediction.size_ratio * lead.size_ratio, 3),
            }
        )
        return replace(
            handed,
            spec=self.specs[last.technique],
            variant=Variant(last.technique, last.parameters, f"{cut.variant.reason} Then it is exported."),
            prediction=prediction,
            firm=obstacle(prediction, handed.profile, criteria),
            soft=no_gain(prediction, criteria),
            head=handed.head[: handed.head.index(last)],
        )

    def _pace(self, cut: Weighed, handed: Weighed, criteria: Criteria) -> Pace | None:
        """The speed that the first link of `cut` has to reach, if what follows gains what it does in `handed`."""
        later = handed.prediction.speedup / cut.prediction.speedup
        return pace_of(self.specs[cut.head[0].technique], criteria, cut.profile, later)

    def _cut(
        self, bases: Bases, available: Mapping[str, TechniqueSpec], minutes: Minutes, pace: Pace | None = None
    ) -> list[Weighed]:
        """Pruned models that are trained again."""
        original, criteria = bases.original, minutes.criteria
        forward_s = minutes.facts(original).forward_s if original.analysis else 0.0
        lessons = lessons_of(criteria, minutes.dataset.training_examples, forward_s)
        made: list[Weighed] = []
        suited = {name: spec for name, spec in available.items() if spec.knowledge.cuts_suit(original.profile)}
        for cut in trained_cuts(suited, lessons, original.model.format, bases.student_share, pace):
            last = cut.chain[-1]
            variant = Variant(last.technique, last.parameters, cut.reason)
            spec = available[last.technique]
            kinds = kinds_of_chain(cut.chain, self.specs)
            prediction = with_experience(cut.prediction, kinds, self.knowledge.learned, criteria)
            firm = obstacle(prediction, original.profile, criteria)
            # What a member gave is measured, whatever its parameters promise.
            soft = None if spec.trains_student else no_gain(prediction, criteria)
            made.append(Weighed(variant, spec, prediction, firm, soft, 1.0, original.profile, cut.chain[:-1]))
        return made

    def _before(self, item: Weighed) -> list[tuple[TechniqueSpec, Mapping[str, Any]]]:
        """The links before its last one that are applied only for it: all from the first that cuts weights on."""
        links = [(self.specs[link.technique], link.parameters) for link in item.head]
        return list(dropwhile(lambda link: link[0].family in MADE_FOR_MANY, links))

    def _foreseen(self, item: Weighed, bases: Bases, minutes: Minutes) -> Weighed:
        """With the minutes and the room that it takes, and those of what is made before it for it alone."""
        known = foreseen(item, bases, minutes, self._before(item))
        kinds = kinds_of_chain((*item.head, item.application), self.specs)
        return replace(known, prediction=with_experienced_minutes(known.prediction, kinds, self.knowledge.learned))

    def _weigh(
        self, variant: Variant, available: Mapping[str, TechniqueSpec], heads: Heads, criteria: Criteria
    ) -> Weighed:
        spec = available[variant.technique]
        return self._weighed(spec, variant, heads.of(spec), heads.bases.profile(spec), criteria)

    def _weighed(
        self, spec: TechniqueSpec, variant: Variant, head: Chain, profile: GraphProfile, criteria: Criteria
    ) -> Weighed:
        given, why = suited(spec, variant.parameters, profile, criteria)
        complete = Variant(variant.technique, spec.resolve(given), f"{variant.reason} {why}".strip())
        prediction = predict(spec, complete.parameters, profile, criteria, self.knowledge)
        firm, soft = _reasons_against(spec, complete.parameters, prediction, profile, criteria)
        reach = sum(node.time_share for node in scope_of(spec, complete.parameters, profile).nodes)
        return Weighed(complete, spec, prediction, firm, soft, reach, profile, head)

    def _rescue(self, item: Weighed, criteria: Criteria) -> Weighed | None:
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

    def _handed_on(self, item: Weighed, weighed: Sequence[Weighed], bases: Bases, criteria: Criteria) -> Weighed | None:
        """A variant with the most promising technique after it that its knowledge names; `None` if there is none.

        A limit that either would break alone may hold for both together.
        """
        known, made = item.spec.knowledge, item.variant.parameters
        links, given = (*item.head, item.application), bases.original.model.format
        after = known.profile_after(made, item.profile)
        suited_ones = (
            one
            for one in weighed
            if one.spec.family in known.hands_on_to and known.suits_behind(made, one.spec.name, one.variant.parameters)
        )
        later = [
            one
            for one in (self._behind(one, item.profile, after, criteria) for one in suited_ones)
            if not (one.soft or collapse(one.prediction, criteria))
            and not one_at_a_time(self._applied(one))
            and fits_behind(links, (*one.head, one.application), self.specs, given)
        ]
        if not later or collapse(item.prediction, criteria):
            return None
        return self._joined(item, max(later, key=lambda one: worth_of(one, criteria)), criteria)

    def _handed_over(
        self, weighed: Sequence[Weighed], continued: Sequence[Weighed], bases: Bases, criteria: Criteria
    ) -> list[Weighed]:
        """For each technique that allows it, the most promising of its variants with a pair of `continued` after it,
        the first of which may come between it and what it hands on to."""
        best: dict[str, Weighed] = {}
        for item in weighed:
            families, links = item.spec.knowledge.hands_on_over, (*item.head, item.application)
            for pair in continued:
                between = self.specs[pair.head[0].technique] if pair.head else pair.spec
                chain = (*pair.head, pair.application)
                if between.family not in families or not fits_behind(
                    links, chain, self.specs, bases.original.model.format
                ):
                    continue
                made = self._joined(item, pair, criteria)
                if item.spec.name not in best or worth_of(made, criteria) > worth_of(best[item.spec.name], criteria):
                    best[item.spec.name] = made
        return [one for one in best.values() if not collapse(one.prediction, criteria)]

    def _joined(self, item: Weighed, later: Weighed, criteria: Criteria) -> Weighed:
        """The links of both, one after the other, and what is predicted of them in turn."""
        links = (*item.head, item.application)
        kinds = kinds_of_chain((*links, *later.head, later.application), self.specs)
        prediction = in_turn_with_experience(
            item.prediction, later.prediction, item.profile, criteria, kinds, self.knowledge.learned
        )
        reason = f"{item.variant.reason} Then: {later.variant.reason}"
        return replace(
            later,
            variant=Variant(later.spec.name, later.variant.parameters, reason),
            prediction=prediction,
            firm=obstacle(prediction, item.profile, criteria),
            soft=no_gain(prediction, criteria),
            head=(*links, *later.head),
        )

    def _behind(self, one: Weighed, before: GraphProfile, after: GraphProfile, criteria: Criteria) -> Weighed:
        """The item on the form of the model that another technique leaves, if that tells anything else about it."""
        if after is before or one.profile is not before:
            return one
        return self._weighed(one.spec, one.variant, one.head, after, criteria)

    def _applied(self, item: Weighed) -> list[TechniqueSpec]:
        """The techniques of an item, in turn."""
        return [*(self.specs[link.technique] for link in item.head), item.spec]

    def _fewest_in_float(self, item: Weighed, names: set[str], criteria: Criteria) -> list[str] | None:
        profile = item.profile
        limit = planned_limit(criteria.constraints) or 0.0
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
