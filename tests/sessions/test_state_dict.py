"""A session on EfficientNet-lite0 as a team ships it: weights, and the name of an architecture that is installed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agents.contracts.formats import Format
from apps.agents.contracts.state import Outcome
from tests.assets.models import StateDict
from tests.sessions.conftest import CLASSIFICATION, RunSession, allowing, profile
from tests.sessions.driver import Finished
from tests.sessions.machine import HAS_VNNI, exact_sums

# The first run downloads and builds.
pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(900)]

DESCRIPTION = """architecture = "efficientnet-lite0"
weights = "weights.pth"

[arguments]
num_classes = 10

[[input]]
name = "image"
dtype = "float32"
shape = ["batch", 3, 224, 224]

[[output]]
name = "logits"
shape = ["batch", 10]
"""
FACTORY = """from efficientnet_lite_pytorch import EfficientNet


def build(num_classes):
    return EfficientNet.from_name("efficientnet-lite0", num_classes=num_classes)
"""


@pytest.fixture(scope="module")
def architecture(efficientnet_cifar10: StateDict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A package that offers the architecture by its entry point, on the path of every child."""
    site = tmp_path_factory.mktemp("site")
    (site / "lite_offered.py").write_text(FACTORY)
    metadata = site / "lite_offered-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: lite-offered\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[lathe.architectures]\nefficientnet-lite0 = lite_offered:build\n")
    with pytest.MonkeyPatch.context() as patch:
        known = [path for path in (os.environ.get("PYTHONPATH"),) if path]
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(efficientnet_cifar10.library), *known]))
        yield


@pytest.fixture(scope="module")
def pictures(
    run_session: RunSession,
    efficientnet_cifar10: StateDict,
    cifar10_for_efficientnet: Path,
    architecture: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Finished:
    model = tmp_path_factory.mktemp("efficientnet") / "efficientnet.zip"
    with zipfile.ZipFile(model, "w") as archive:
        archive.write(efficientnet_cifar10.weights, "weights.pth")
        archive.writestr("lathe.toml", DESCRIPTION)
    criteria = profile("balanced", candidates=3, minutes=6)
    criteria = allowing(criteria, "onnx-export", "onnx-static-int8")
    return run_session(model, cifar10_for_efficientnet, criteria, CLASSIFICATION, Format.STATE_DICT)


def test_a_state_dict_with_its_architecture_is_exported_quantized_and_evaluated(pictures: Finished):
    assert pictures.verdict.outcome is Outcome.IMPROVED
    assert pictures.winner.primary.metric == "top1"
    assert pictures.winner.primary.original.value >= 75
    assert pictures.winner.primary.drop.value <= 1.0
    assert pictures.winner.examples >= 250
    assert pictures.winner.latency.speedup.value > 1


@exact_sums
def test_static_int8_is_delivered(pictures: Finished):
    assert pictures.winner.size_bytes.ratio >= 3.5
    assert pictures.candidate(pictures.verdict.candidate or "").technique == "onnx-static-int8"


@pytest.mark.skipif(HAS_VNNI, reason="weights have all their 8 bits here")
def test_without_vnni_weights_have_7_bits(pictures: Finished):
    static = [one for one in pictures.plan.candidates if one.technique == "onnx-static-int8"]
    narrow = [
        one
        for one in static
        if one.parameters["weight_type"] == "int8" and one.parameters["activation_type"] != "uint16"
    ]
    assert narrow
    assert all(one.parameters.get("reduce_range") for one in narrow)
    assert all("weights use 7 bits" in one.reason for one in narrow)


@exact_sums
def test_the_gain_of_the_runtime_and_that_of_the_technique_are_told_apart(pictures: Finished):
    gains = pictures.winner.gains
    assert gains is not None
    assert (gains.runtime, gains.technique) == ("ONNX Runtime", "static int8 (QDQ)")
    whole = pictures.winner.latency.speedup.value
    assert gains.runtime_speedup * gains.technique_speedup == pytest.approx(whole)


@exact_sums
def test_the_search_finds_the_one_layer_that_must_stay_in_float(pictures: Finished):
    """All of it in 8 bits loses four points, and the classifier at its end makes most of the noise."""
    key = next(candidate.key for candidate in pictures.plan.candidates if candidate.technique == "onnx-static-int8")
    whole = pictures.evaluations[key]
    assert whole.primary.drop.value > 2
    repaired = pictures.candidate(f"{key}r1")
    assert repaired.parent == key
    assert repaired.parameters["keep_float_nodes"] == ["_fc/Gemm"]
    assert pictures.evaluations[repaired.key].primary.drop.value < whole.primary.drop.value - 2
