"""Training on texts: what the loss reads of rows that are filled up, and a narrowed encoder that comes back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apps.agents.backends.torch.training.reading import Reading
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from tests.agents import text_folders
from tests.agents.torch_uploads import folder_zip
from tests.agents.workshop import Workshop

TEXTS = 120
UNLABELLED = DatasetSpec(kind="text", task="fidelity", pooling="mean", training_share=0.5)
PAIRS = DatasetSpec(kind="text", task="embedding", pooling="mean", training_share=0.5)
SHORT: dict[str, Any] = {"steps": 60, "batch_size": 16, "learning_rate": 0.002}


def encoder(folder: Path, **settings: Any) -> Path:
    """A tiny BERT without a head, with its tokenizer."""
    text_folders.folder("Bert", folder / "classifier", begins=True)
    model = text_folders.classifier("Bert", **settings).base_model
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, torch.nn.Linear):
                part.weight.mul_(3)  # Drawn narrowly, its layers would hardly change anything.
    model.save_pretrained(folder / "encoder")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "classifier" / name, folder / "encoder")
    return folder_zip(folder / "encoder", folder / "encoder.zip")


def texts(path: Path, spec: DatasetSpec) -> Path:
    chance = np.random.default_rng(0)
    made = [
        " ".join(f"w{word}" for word in chance.integers(0, text_folders.WORDS, chance.integers(2, 15)))
        for _ in range(2 * TEXTS)
    ]
    pairs = ({"text_a": made[at], "text_b": made[at + TEXTS], "score": at % 7, "text": made[at]} for at in range(TEXTS))
    wanted = ("text_a", "text_b", "score") if spec.paired else ("text",)
    path.write_text("".join(json.dumps({name: one[name] for name in wanted}) + "\n" for one in pairs))
    return path


def test_the_loss_does_not_read_padding() -> None:
    tokens, rest = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    pooled, cleared = Reading(0, "mean")([tokens, rest], {"attention_mask": mask})
    torch.testing.assert_close(pooled[0], tokens[0, :3].mean(0))
    torch.testing.assert_close(pooled[1], tokens[1].mean(0))
    assert not cleared[0, 3:].any()
    torch.testing.assert_close(cleared[1], rest[1])
    torch.testing.assert_close(Reading(1, "first")([tokens, rest], {"attention_mask": mask})[1], rest[:, 0])
    torch.testing.assert_close(Reading(0)([tokens], {})[0], tokens)


@pytest.mark.parametrize("spec", [UNLABELLED, PAIRS], ids=["texts", "pairs"])
def test_a_narrowed_encoder_approaches_the_original_s_embeddings_again(spec: DatasetSpec, tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "transformers")
    original, data = encoder(tmp_path), texts(tmp_path / "texts.jsonl", spec)
    cut = workshop.apply("torch-prune-width", original, data, spec, removed=0.5, compensate=False).artifact
    assignment = workshop.assignment("torch-recover", cut, data, spec, **SHORT)
    teacher = ModelFile(format="transformers", path=original)
    made = workshop.run(replace(assignment, further_inputs={"teacher": teacher})).result
    assert made.evidence["held_out_loss_after"] < 0.3 * made.evidence["held_out_loss_before"]
    assert made.evidence["held_out_loss_before"] < 2  # One less a cosine.


def test_texts_to_train_on_are_in_no_other_part(tmp_path: Path) -> None:
    engine = open_engine("transformers", encoder(tmp_path), tmp_path)
    data = texts(tmp_path / "texts.jsonl", UNLABELLED)
    dataset = load_dataset(data, UNLABELLED, engine.summary.inputs, 0, scratch=tmp_path, encoder=engine.encoder)
    part = dataset.training_part
    assert part is not None
    assert len(part.indices) == TEXTS / 2
    assert not {*part.indices} & {*dataset.calibration_indices, *dataset.evaluation_indices}
    feeds, labels = part.take(part.indices[:3])
    assert labels is None
    assert len(feeds["input_ids"]) == 3
    assert sum(len(feeds["input_ids"]) for feeds, _ in dataset.training(16, 0)) == TEXTS / 2


def test_a_student_with_fewer_layers_learns_the_embeddings_of_texts(tmp_path: Path) -> None:
    workshop, data = Workshop(tmp_path, "transformers"), texts(tmp_path / "texts.jsonl", UNLABELLED)
    original = encoder(tmp_path, num_hidden_layers=4)
    inside = {"hidden_weight": 0.1, "cosine_weight": 0.1}
    made = workshop.apply("torch-distill-layers", original, data, UNLABELLED, **SHORT, **inside).result
    assert (made.evidence["layers_before"], made.evidence["layers"]) == (4, 2)
    assert made.evidence["held_out_loss_after"] < 0.5 * made.evidence["held_out_loss_before"]


def test_a_member_s_own_student_learns_the_embeddings_of_texts(tmp_path: Path) -> None:
    workshop, data = Workshop(tmp_path, "transformers"), texts(tmp_path / "texts.jsonl", UNLABELLED)
    for name in ("original", "own"):
        (tmp_path / name).mkdir()
    original, own = encoder(tmp_path / "original"), encoder(tmp_path / "own", num_hidden_layers=1, intermediate_size=16)
    assignment = workshop.assignment("torch-distill-student", original, data, UNLABELLED, **SHORT)
    student = ModelFile(format="transformers", path=own)
    made = workshop.run(replace(assignment, further_inputs={**assignment.further_inputs, "student": student}))
    evidence = made.result.evidence
    assert evidence["held_out_loss_after"] < 0.5 * evidence["held_out_loss_before"]
    assert open_engine("transformers", made.artifact, tmp_path).encoder is not None
