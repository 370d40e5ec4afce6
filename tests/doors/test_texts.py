"""Classifiers of texts as transformers saves them, from the bytes of an upload to a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.state import Outcome
from apps.models.models import DataSet, ModelVersion
from tests.agents.text_folders import LENGTH, WORDS, classifier, folder
from tests.agents.torch_uploads import folder_zip
from tests.door import Door, quick

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]

SPEC: dict[str, Any] = {"kind": "text", "task": "classification"}


@pytest.mark.parametrize(
    ("family", "framed", "techniques"),
    [
        # Two of its positions are for padding, and nothing states how many are left.
        ("RobertaPreLayerNorm", True, ("torch-half",)),
        # It knows no padding token.
        pytest.param("GPT2", False, ("onnx-export", "onnx-dynamic-int8"), marks=pytest.mark.nightly),
    ],
)
def test_short_and_long_texts_reach_a_verdict(
    door: Door, family: str, framed: bool, techniques: tuple[str, ...], tmp_path: Path
) -> None:
    version, dataset = uploaded(door, family, framed, tmp_path)
    session = door.verdict(version, dataset, quick(*techniques, budget=Budget(minutes=4.0, candidates=1)))
    assert session.outcome == Outcome.IMPROVED
    assert version.metadata.summary.language.context_length == LENGTH


@pytest.mark.nightly
def test_what_is_promoted_has_a_session_of_its_own(door: Door, tmp_path: Path) -> None:
    """What is exported carries no tokenizer; a folder in half precision does."""
    version, dataset = uploaded(door, "RobertaPreLayerNorm", True, tmp_path)
    criteria = quick("torch-half", budget=Budget(minutes=4.0, candidates=1))
    second = door.verdict(door.promoted(door.verdict(version, dataset, criteria)), dataset, criteria)
    assert not second.steps.exclude(traceback="").exists()


def uploaded(door: Door, family: str, framed: bool, folder_of_files: Path) -> tuple[ModelVersion, DataSet]:
    path = folder(family, folder_of_files / "files", begins=framed, ends=framed, **WIDER[family])
    version = door.model(folder_zip(path, folder_of_files / "model.zip"))
    return version, door.data(labelled(family, framed), SPEC, "texts.jsonl")


WIDER: dict[str, dict[str, Any]] = {
    "RobertaPreLayerNorm": {"intermediate_size": 512},
    "GPT2": {"n_inner": 512},
}


def labelled(family: str, framed: bool) -> bytes:
    """Texts of 1 to 40 words, labelled as the model does."""
    model, chance = classifier(family, **WIDER[family]), np.random.default_rng(0)
    lines = []
    for _ in range(120):
        words = chance.integers(0, WORDS, chance.integers(1, 40))
        row = [0] * framed + [int(word) + 4 for word in words][: LENGTH - 2 * framed] + [2] * framed
        with torch.inference_mode():
            label = int(model(input_ids=torch.tensor([row])).logits.argmax())
        lines.append(json.dumps({"text": " ".join(f"w{word}" for word in words), "label": label}))
    return "\n".join(lines).encode()
