"""Whatever of a technique's own knowledge fails while planning, the plan is the same as without the technique."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.state import Plan
from apps.agents.planning.agent import PlanningAgent
from apps.agents.techniques.catalogue import BUILTIN, Expectation, Risk, TechniqueSpec, catalogue
from apps.agents.techniques.knowledge.technique import TechniqueKnowledge
from tests.agents.inmemory import DATASET, STATIC, resnet

PARTS = ("variants", "predicts", "cost", "title_parts", "operators", "number_types")


class Careless(TechniqueKnowledge):
    """Raises in the part called `failing`."""

    failing = ""

    def __getattribute__(self, name: str) -> Any:
        if name == type(self).failing:
            raise LookupError(f"no {name}")
        return super().__getattribute__(name)


def promising(name: str, label: str) -> TechniqueSpec:
    """A technique that a plan would try."""
    expectation = Expectation(size_ratio=2.0, speedup=3.0, metric_drop_points=0.1, risk=Risk.LOW)
    knowledge = TechniqueKnowledge()
    given = {"name": name, "label": label, "expectation": expectation, "knowledge": knowledge}
    return BUILTIN[0].model_copy(update=given)


def careless(part: str, name: str = "acme-careless") -> TechniqueSpec:
    knowledge = type("CarelessIn", (Careless,), {"failing": part})()
    return promising(name, "Careless").model_copy(update={"knowledge": knowledge})


def planned(specs: dict[str, TechniqueSpec]) -> Plan:
    return PlanningAgent(specs).plan(resnet().analysis, PROFILES["fastest"], DATASET)


@pytest.mark.parametrize("part", PARTS)
def test_it_is_left_out_by_name_and_everything_else_is_planned(part: str) -> None:
    plan = planned({**catalogue(), "acme-careless": careless(part)})
    assert plan.candidates == planned(dict(catalogue())).candidates
    (left_out,) = [one for one in plan.omitted if one.technique == "acme-careless"]
    assert left_out.title == "Careless"
    assert f"LookupError: no {part}" in left_out.reason


def test_a_sound_technique_of_another_package_stays_beside_one_that_fails() -> None:
    sound = promising("acme-sound", "Sound")
    plan = planned({**catalogue(), "acme-careless": careless("variants"), "acme-sound": sound})
    assert "acme-sound" in {candidate.technique for candidate in plan.candidates}


def test_a_bug_in_lathes_own_knowledge_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise LookupError("ours")

    monkeypatch.setattr(type(catalogue()[STATIC].knowledge), "variants", fail)
    with pytest.raises(LookupError, match="ours"):
        planned(dict(catalogue()))
