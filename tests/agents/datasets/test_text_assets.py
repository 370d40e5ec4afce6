"""Real language models on texts: perplexity against a direct computation, and padding that changes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from apps.agents.contracts.criteria import Criteria, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.machine import Machine
from apps.agents.datasets.loading import load_dataset
from apps.agents.datasets.targets import TokenTargets
from apps.agents.evaluation.agent import EvaluationAgent
from apps.agents.evaluation.metrics import scorer_for
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import open_engine
from tests.agents.told import Told
from tests.assets.models import Transformer

pytestmark = [pytest.mark.assets, pytest.mark.slow]
QUICK = Effort(warmup_runs=1, warmup_s=0.01, block_s=0.01, rounds_minimum=4, rounds_maximum=4, budget_s=0.5)
HERE = Machine(hostname="here", cpu="", cores=1, memory_bytes=1, flags=(), system="", python="", libraries={})
DOCUMENTS = 24


def first_lines(path: Path, target: Path) -> Path:
    target.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:DOCUMENTS]), encoding="utf-8")
    return target


@pytest.mark.timeout(600)
def test_the_perplexity_of_stories15m_is_the_one_computed_directly(
    tmp_path: Path, stories15m: Transformer, own_stories: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    data = first_lines(own_stories, tmp_path / "stories.jsonl")
    spec = DatasetSpec(kind="text", task="language_modeling", text={"max_tokens": 128})
    engine = open_engine("transformers", stories15m.archive, tmp_path)
    summary = engine.summary
    dataset = load_dataset(data, spec, summary.inputs, 1, encoder=engine.encoder, outputs=summary.outputs)
    run, scorer = engine.session(Target()), None
    ragged, worst = 0, 0.0
    for feeds, targets in dataset.evaluation(64):
        assert isinstance(targets, TokenTargets)
        (logits,) = run(feeds)
        assert logits.nbytes <= 64 * 1024 * 1024
        scorer = scorer or scorer_for(spec, logits.shape, ())
        scorer.add(logits, logits, targets)
        mask = feeds["attention_mask"]
        if not mask.all() and ragged < 2:
            ragged += 1
            for row in range(len(mask)):
                (alone,) = run({name: array[row : row + 1, : mask[row].sum()] for name, array in feeds.items()})
                worst = max(worst, float(np.abs(alone[0] - logits[row, : mask[row].sum()]).max()))
    assert ragged
    assert worst < 1e-3

    tokenizer = AutoTokenizer.from_pretrained(stories15m.folder)
    model = AutoModelForCausalLM.from_pretrained(stories15m.folder).eval()
    texts = [json.loads(line)["text"] for line in data.read_text(encoding="utf-8").splitlines()]
    total, tokens = 0.0, 0
    for index in dataset.evaluation_indices:
        ids = tokenizer(texts[index], add_special_tokens=False)["input_ids"]
        for at in range(0, len(ids), 127):
            row = torch.tensor([[tokenizer.bos_token_id, *ids[at : at + 127]]])
            with torch.inference_mode():
                total += float(model(row, labels=row).loss) * (row.shape[1] - 1)
            tokens += row.shape[1] - 1
    assert scorer is not None
    perplexity, nll = scorer.comparisons(0.95, 1)
    assert perplexity.original.value == pytest.approx(math.exp(total / tokens), abs=1e-4)
    assert nll.original.value == pytest.approx(total / tokens, abs=1e-5)
    assert f"{tokens:,} tokens of {len(dataset.evaluation_indices)} texts" in dataset.notes[1]


@pytest.mark.timeout(600)
def test_minilm_is_judged_on_labelled_texts_and_on_pairs(
    tmp_path: Path, minilm_classifier: Transformer, snippets: Path, minilm_encoder: Transformer, word_similarity: Path
) -> None:
    classified = _evaluated(
        tmp_path / "a", minilm_classifier, snippets, DatasetSpec(kind="text", task="classification")
    )
    assert 70 < classified.primary.original.value < 90
    assert classified.primary.drop.value == 0
    pairs = DatasetSpec(kind="text", task="embedding", pooling="mean")
    similar = _evaluated(tmp_path / "b", minilm_encoder, word_similarity, pairs)
    assert 65 < similar.primary.original.value < 80
    assert similar.primary.metric == "spearman"
    assert similar.examples > 200


def _evaluated(folder: Path, model: Transformer, data: Path, spec: DatasetSpec) -> EvaluationReport:
    folder.mkdir()
    engine = open_engine("transformers", model.archive, folder)
    summary = engine.summary
    dataset = load_dataset(data, spec, summary.inputs, 1, encoder=engine.encoder, outputs=summary.outputs)
    return EvaluationAgent(QUICK).evaluate(engine, engine, dataset, Criteria(), Told(), machine=HERE, seed=1)
