"""The real models do in float what they are known to do: the ground every session on them stands on."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from tests.assets.models import Asset, minilm_onnx

# The first run downloads and builds; minutes on a busy machine.
pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(900)]


def outputs(asset: Asset, examples: int | None = None, batch: int = 50) -> np.ndarray:
    """The model's first output for the first `examples` of its data, all by default."""
    session = onnxruntime.InferenceSession(str(asset.model), providers=["CPUExecutionProvider"])
    data = np.load(asset.data)
    inputs = {value.name: data[value.name][:examples] for value in session.get_inputs()}
    count = len(next(iter(inputs.values())))
    parts = [
        session.run(None, {name: array[start : start + batch] for name, array in inputs.items()})[0]
        for start in range(0, count, batch)
    ]
    return np.concatenate(parts)


def accuracy(asset: Asset) -> float:
    """Top-1 in per cent."""
    return float(100 * (outputs(asset).argmax(1) == np.load(asset.data)["y"]).mean())


def test_minilm_reads_sentiment_as_well_as_its_baseline(minilm: Asset) -> None:
    assert accuracy(minilm) == pytest.approx(80, abs=2)


def test_minilm_answers_the_same_with_and_without_padding(minilm: Asset) -> None:
    session = onnxruntime.InferenceSession(str(minilm.model), providers=["CPUExecutionProvider"])
    data = np.load(minilm.data)
    padded = {value.name: data[value.name][:1] for value in session.get_inputs()}
    length = int(padded["attention_mask"].sum())
    bare = {name: array[:, :length] for name, array in padded.items()}

    np.testing.assert_allclose(session.run(None, padded)[0], session.run(None, bare)[0], atol=1e-4)


def test_the_short_data_set_begins_the_long_one(minilm: Asset, minilm_with_many_examples: Asset) -> None:
    short, long = np.load(minilm.data), np.load(minilm_with_many_examples.data)

    assert len(short["y"]) == 600
    assert len(long["y"]) == 3000
    for name in long.files:
        np.testing.assert_array_equal(short[name], long[name][:600])


def test_the_second_call_finds_everything_in_the_cache(minilm: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.assets.models._build_minilm", pytest.fail)

    assert minilm_onnx() == minilm


def test_magika_knows_the_files_of_this_python(magika: Asset) -> None:
    assert accuracy(magika) >= 80


def test_the_speech_embedding_tells_sounds_apart(openwakeword: Asset) -> None:
    embeddings = outputs(openwakeword, examples=60).reshape(60, 96)

    assert np.isfinite(embeddings).all()
    assert np.linalg.matrix_rank(embeddings - embeddings.mean(0)) > 30
    assert "y" not in np.load(openwakeword.data).files
