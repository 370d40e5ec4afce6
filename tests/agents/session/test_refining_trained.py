"""Refinement of chains with a training, whose link also reads the session's original."""

from __future__ import annotations

from apps.agents.contracts.chain import input_keys
from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.session.refining import Refining
from tests.agents.inmemory import InMemoryPipeline
from tests.agents.planning.test_cuts import RECOVER
from tests.agents.session.test_minutes_left import search_of, taught

LIBRARIES = ("onnx", "onnxruntime", "onnxscript", "optuna", "torch", "torch-pruning")


def test_a_pruned_and_trained_chain_can_be_refined_where_the_sampler_is_installed():
    run = InMemoryPipeline(taught(), Criteria(budget=Budget(minutes=30)), libraries=LIBRARIES, disabled=()).run()
    assert run.last.verdict is not None
    groups = Refining(search_of(run.state)).groups
    links = [link for group in groups for link in group.trials[0].planned.steps if link.technique == RECOVER]
    assert links
    assert all(input_keys(link) == {"teacher": "original"} for link in links)
