"""What experiences teach: shrinkage, similarity, and predictions that say where they come from."""

from __future__ import annotations

import math

import pytest

from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.experience import Learned
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.memory.corrections import LARGEST_FACTOR, learned
from apps.agents.memory.fingerprints import fingerprint_of, machine_similarity, network_similarity
from apps.agents.memory.kinds import kinds_of
from apps.agents.memory.shrinkage import CHANCE, SPREAD, K, Observation, Shrunk, seen_here, shrunk
from apps.agents.planning.agent import PlanningAgent
from apps.agents.planning.prediction import predict
from apps.agents.techniques.knowledge.profile import profile_of_analysis
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from tests.agents.inmemory import DATASET, InMemoryPipeline, minilm, resnet
from tests.agents.memory.history import HERE, SIMILAR, STATIC, experience

FASTEST = PROFILES["fastest"]
BROAD, TYPES, EXACT = kinds_of(STATIC, STATIC.resolve({}))


def test_sessions_weigh_against_the_tables_as_the_formula_says() -> None:
    found = shrunk([Observation(f"s{n}", math.log(2), 1.0) for n in range(3)], Shrunk())
    assert found.weight == pytest.approx(3 / (3 + K))
    assert found.log_ratio == pytest.approx(math.log(2) * 3 / (3 + K))


def test_candidates_of_one_session_count_once() -> None:
    one = shrunk([Observation("s1", math.log(2), 1.0)], Shrunk())
    assert shrunk([Observation("s1", math.log(2), 1.0)] * 5, Shrunk()) == pytest.approx(one)


def test_a_measurement_as_uncertain_as_sessions_differ_counts_half() -> None:
    found = shrunk([Observation("s1", 1.0, 1.0, error=SPREAD)], Shrunk())
    assert found.weight == pytest.approx(0.5 / (0.5 + K))


def test_many_sessions_pull_a_prediction_to_what_they_measured() -> None:
    lesson = learned([experience(f"s{n}", fingerprint=SIMILAR) for n in range(40)], HERE).of((EXACT,))
    assert lesson is not None
    assert lesson.speedup == pytest.approx(2.0, rel=0.05)
    assert lesson.weight > 0.95
    assert (lesson.sessions, lesson.similar_to) == (40, "similar encoders on this machine")


def test_one_session_on_the_same_network_outweighs_many_on_similar_ones() -> None:
    others = [experience(f"s{n}", measured=1.0, fingerprint=SIMILAR) for n in range(20)]
    lesson = learned([experience("here"), *others], HERE).of((EXACT,))
    assert lesson is not None
    assert lesson.speedup == pytest.approx(2.0 ** (1 / (1 + CHANCE)), rel=1e-3)
    assert lesson.similar_to == "this network and similar encoders on this machine"
    elsewhere = HERE.model_copy(update={"hostname": "barn"})
    there = learned([experience("there", fingerprint=elsewhere), *others], HERE).of((EXACT,))
    assert there is not None
    assert there.speedup < 1.1


def test_what_is_uncertain_outweighs_nothing_even_on_the_same_network() -> None:
    found = seen_here([Observation("s1", 1.0, 1.0, error=2 * SPREAD, same=True)], Shrunk())
    assert found.weight == pytest.approx(1 / (1 + CHANCE + 4))


def test_a_single_odd_session_cannot_hide_a_technique() -> None:
    lesson = learned([experience(measured=1e-6)] * 1000, HERE).of((EXACT,))
    assert lesson is not None
    assert lesson.speedup == 1 / LARGEST_FACTOR


def test_other_parameters_of_a_technique_learn_less_than_the_same_ones() -> None:
    found = learned([experience(f"s{n}") for n in range(3)], HERE).lessons
    assert found[EXACT].speedup >= found[TYPES].speedup >= found[BROAD].speedup > 1


def test_speed_is_learned_on_machines_of_the_same_class_and_size_on_any() -> None:
    there = HERE.model_copy(update={"machine_class": "CUDA", "hostname": "x"})
    found = learned([experience(fingerprint=there, size_ratio=2.0)], HERE).of((EXACT,))
    assert found is not None
    assert (found.speedup, found.minutes, found.weight) == (1.0, 1.0, 0.0)
    assert found.size_ratio < 1
    assert found.similar_to == "this network on such machines"


def test_losses_are_learned_in_the_same_metric_only() -> None:
    there = HERE.model_copy(update={"metric": "perplexity"})
    lesson = learned([experience(fingerprint=there, drop=Estimate(value=30.0))], HERE).of((EXACT,))
    assert lesson is not None
    assert (lesson.loss, lesson.loss_weight) == (1.0, 0.0)


def test_a_dissimilar_network_teaches_nothing() -> None:
    there = HERE.model_copy(update={"operators": {"Conv": 50}})
    assert learned([experience(fingerprint=there)], HERE) == Learned()


def test_what_a_busy_machine_could_not_time_teaches_no_speed() -> None:
    unbounded = Estimate(value=9.0, low=-UNKNOWN, high=UNKNOWN)
    for speedup in (None, unbounded):
        lesson = learned([experience(speedup=speedup)], HERE).of((EXACT,))
        assert lesson is not None
        assert (lesson.speedup, lesson.weight) == (1.0, 0.0)


def test_a_network_is_similar_to_itself_and_less_to_a_larger_one_of_the_kind() -> None:
    larger = HERE.model_copy(update={"parameters": 227_000_000})
    assert network_similarity(HERE, HERE) == pytest.approx(1.0)
    assert network_similarity(HERE, larger) == pytest.approx(math.exp(-0.5))
    assert machine_similarity(HERE, HERE.model_copy(update={"hostname": "barn"})) == 0.9


# --- predictions -----------------------------------------------------------------------------------------------------


def history_of(factor: float, sessions: int) -> Learned:
    """Sessions on similar residual networks, in which static int8 was `factor` times as fast as the tables say."""
    world = resnet()
    here = fingerprint_of(world.model, "classification", "top1", FASTEST, world.analysis.machine)
    there = here.model_copy(update={"size_bytes": here.size_bytes + 1})
    profile = profile_of_analysis(world.analysis)
    expected = predict(STATIC, STATIC.resolve({}), profile, FASTEST).speedup
    found = [
        experience(f"s{n}", expected=expected, measured=factor * expected, fingerprint=there) for n in range(sessions)
    ]
    return learned(found, here)


def test_a_prediction_says_from_how_many_sessions_it_comes() -> None:
    world = resnet()
    knowledge = Knowledge(learned=history_of(0.5, 7))
    parameters, profile = STATIC.resolve({}), profile_of_analysis(world.analysis)
    plain = predict(STATIC, parameters, profile, FASTEST)
    moved = predict(STATIC, parameters, profile, FASTEST, knowledge)
    assert moved.speedup == pytest.approx(plain.speedup * 0.5 ** (7 / (7 + K)), rel=1e-3)
    assert "from 7 sessions on similar convolutional networks on this machine" in moved.basis
    assert moved.tables is not None
    assert moved.tables.speedup == plain.speedup


def test_without_a_history_predictions_are_those_of_the_tables() -> None:
    for world in (resnet(), minilm()):
        bare = PlanningAgent().plan(world.analysis, FASTEST, DATASET)
        assert PlanningAgent(knowledge=Knowledge(learned=Learned())).plan(world.analysis, FASTEST, DATASET) == bare
        assert all(one.predicted.tables is None for one in bare.candidates)
    assert TABLES.learned == Learned()


def test_a_planned_session_keeps_what_it_knew_and_replays_to_the_same_decisions() -> None:
    history = history_of(0.6, 5)
    run = InMemoryPipeline(resnet(), FASTEST, learned=history).run()
    step = next(one for one in run.state.steps if one.request.key == "plan")
    assert Learned.model_validate(step.request.parameters["learned"]) == history
    forgotten = run.state.model_copy(update={"learned": Learned()})
    from apps.agents.session.manager import OptimizationManager

    assert OptimizationManager().next(forgotten) == OptimizationManager().next(run.state)
