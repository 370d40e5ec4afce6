"""Techniques on a real language model: what each takes on disk and leaves of the outputs, read back from there.

AWQ and GPTQ by llm-compressor, and what they win, stand in `test_torch_language_model_quality`.
"""

from __future__ import annotations

import pytest

from apps.agents.contracts.dataset_spec import DatasetSpec, TextReading
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueParameters
from apps.agents.measuring.engine import open_engine
from apps.agents.techniques.base import Optimized
from tests.agents.workshop import Workshop, sqnr_db

pytestmark = [pytest.mark.assets, pytest.mark.slow]

TEXTS = DatasetSpec(kind="text", task="language_modeling", text=TextReading(max_tokens=64))
"""Short rows: what the bits do to the outputs shows on them as well."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("torchao"), "transformers")


LAYERS = 6 * (4 * 288 * 288 + 3 * 288 * 768)
"""Weights of the linear layers; the embedding, which is the output head too, has 9,216,000."""


@pytest.mark.parametrize(
    ("technique", "parameters", "saved_bits", "least_db"),
    [
        ("torch-half", {"dtype": "bfloat16"}, 16, 25),
        ("torch-half", {"dtype": "float16"}, 16, 45),
        ("torch-bitsandbytes", {"type": "int8"}, 32 - 8.1, 20),
        ("torch-bitsandbytes", {"type": "fp4"}, 32 - 4.2, 8),
        ("torch-autoawq", {"calibration_examples": 2}, 32 - 4.7, 10),
    ],
    ids=["bfloat16", "float16", "LLM.int8", "FP4", "autoawq"],
)
def test_each_saves_what_its_bits_allow_and_leaves_a_model_that_speaks(
    technique: str, parameters: dict[str, object], saved_bits: float, least_db: float, workshop, stories15m, own_stories
):
    made = workshop.apply(technique, stories15m.archive, own_stories, TEXTS, **parameters)
    weights = LAYERS + 9_216_000 if technique == "torch-half" else LAYERS
    saved = made.result.input_size_bytes - made.result.size_bytes
    assert saved >= 0.95 * saved_bits / 8 * weights
    assert sqnr_db(made) >= least_db


@pytest.fixture(scope="module")
def made(workshop: Workshop, stories15m, own_stories) -> Optimized:
    return workshop.apply("torch-weight-only", stories15m.archive, own_stories, TEXTS)


def test_linear_layers_take_a_quarter_and_almost_nothing_is_lost(made: Optimized):
    assert made.result.input_size_bytes - made.result.size_bytes >= 0.95 * 0.75 * 4 * LAYERS
    assert sqnr_db(made) > 25
    told = " ".join(made.result.checks)
    assert "The 42 quantized layers take" in told
    assert "The embedding table (9,216,000 weights, tied to the output head) stays in float32." in told


def test_what_is_read_back_says_that_it_is_quantized_and_is_not_quantized_again(workshop: Workshop, made, own_stories):
    summary = open_engine("transformers", made.artifact, workshop.root).summary
    assert summary.quantization
    assert summary.quantization.startswith("torchao")
    assert summary.weight_dtypes["int8"] == LAYERS
    with pytest.raises(TechniqueNotApplicable, match="it is already quantized"):
        workshop.apply("torch-weight-only", made.artifact, own_stories, TEXTS)


def test_named_modules_stay_in_float(workshop: Workshop, stories15m, own_stories):
    kept = {"keep_float_nodes": ["model.layers.0"]}
    made = workshop.apply("torch-weight-only", stories15m.archive, own_stories, TEXTS, **kept)
    assert "The 35 quantized layers take" in " ".join(made.result.checks)
    with pytest.raises(TechniqueParameters, match=r"not have the modules model\.layers\.9"):
        workshop.apply("torch-weight-only", stories15m.archive, own_stories, TEXTS, keep_float_nodes=["model.layers.9"])
