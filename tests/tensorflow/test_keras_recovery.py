"""Recovery training of Keras models: the loss falls, within its time, the same every time, interrupted or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from apps.agents.backends.tensorflow.learning.examples import augmented, examples_of
from apps.agents.backends.tensorflow.learning.learner import KerasLearner, scale_of
from apps.agents.backends.tensorflow.learning.losses import Loss
from apps.agents.backends.tensorflow.learning.recovery import trainable
from apps.agents.backends.tensorflow.learning.teacher import Teacher
from apps.agents.backends.tensorflow.loading import keras_model
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.errors.training import ModelNotTrainable, TrainingPartMissing
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Optimized
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from apps.agents.techniques.training.state import State
from apps.agents.techniques.training.trainer import CHECKPOINT_EVERY_S, Trainer
from tests.agents.told import Told
from tests.tensorflow.keras_lessons import accuracy, applied, assignment_of, made

HYPERPARAMETERS = Hyperparameters(steps=16, batch_size=16)


@pytest.fixture(scope="module")
def cut(trained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained network without half of its work, not fitted."""
    asked = {"macs_removed": 0.5, "compensate": False, "allocation": "uniform", "calibration_examples": 32}
    return made(trained, data, tmp_path_factory.mktemp("cut"), "keras-prune", **asked).artifact


@pytest.fixture(scope="module")
def recovered(cut: Path, trained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Optimized, Told]:
    told = Told()
    assignment = assignment_of(
        cut, data, tmp_path_factory.mktemp("recovered"), "keras-recover", steps=40, learning_rate=0.001
    )
    assignment = replace(assignment, further_inputs={"teacher": ModelFile(format=Format.KERAS, path=trained)})
    return applied(assignment, told), told


def test_a_short_training_recovers_most_of_what_was_lost(
    recovered: tuple[Optimized, Told], cut: Path, trained: Path, data: Path
):
    made, told = recovered
    evidence = made.result.evidence
    assert evidence["held_out_loss_after"] < 0.5 * evidence["held_out_loss_before"]
    whole, before, after = (accuracy(path, data) for path in (trained, cut, made.artifact))
    assert whole - after < 0.5 * (whole - before)
    assert (evidence["steps"], evidence["examples"], evidence["examples_held_out"]) == (40, 1800, 200)
    assert "loss on held-out examples" in made.result.checks[1]
    assert {"training loss", "held-out loss"} <= set(told.metrics)
    assert any(eta is not None and eta > 0 for eta in told.etas_s)


def test_without_a_training_part_it_is_refused(cut: Path, data: Path, tmp_path: Path):
    with pytest.raises(TrainingPartMissing, match="Recovery training trains the model, but the data set has no"):
        applied(assignment_of(cut, data, tmp_path, "keras-recover", to_train_on=0.0))


def test_weights_that_cannot_learn_are_refused():
    given = keras.Input((4,))
    halves = keras.Model(given, layers.Dense(2, dtype="float16")(given))
    with pytest.raises(ModelNotTrainable, match="its weights are float16, too coarse"):
        trainable(halves, "Training")
    with pytest.raises(ModelNotTrainable, match="no weights that can be trained"):
        trainable(keras.Model(given, layers.ReLU()(given)), "Training")


def test_a_training_without_a_gain_is_refused(cut: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    idle = State(steps=5, interval=1, step=5, held_out_before=0.2)
    monkeypatch.setattr(Trainer, "run", lambda self: idle)
    with pytest.raises(TechniqueNoEffect, match=r"5 steps of training left the held-out loss at 0\.2"):
        applied(assignment_of(cut, data, tmp_path, "keras-recover"))


# --- interrupted ------------------------------------------------------------------------------------------------------


class Clock:
    """Says how late it is; each step takes some time."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def learner_of(cut: Path, trained: Path, data: Path, folder: Path) -> KerasLearner:
    model = trainable(keras.models.load_model(cut, compile=False), "Training")
    original = keras_model(keras.models.load_model(trained, compile=False), Format.KERAS, "")
    dataset = assignment_of(cut, data, folder, "keras-recover").dataset
    examples = examples_of(dataset, model, HYPERPARAMETERS.batch_size, HYPERPARAMETERS.seed, "Training")
    loss = Loss(Task.CLASSIFICATION, "logits", 0.5, 4.0, reads_labels=True)
    teacher = Teacher(
        lambda arrays: {name: np.asarray(one) for name, one in original.call(arrays).items()}, 2000, keeps=True
    )
    return KerasLearner(model, teacher, examples, loss, HYPERPARAMETERS)


def test_a_killed_training_ends_with_the_same_weights(cut: Path, trained: Path, data: Path, tmp_path: Path):
    undisturbed = learner_of(cut, trained, data, tmp_path / "undisturbed")
    Trainer(undisturbed, Told(), tmp_path, "Training", Clock()).run()

    told, killed = Told(), learner_of(cut, trained, data, tmp_path / "killed")
    teach = killed.step

    def step(number: int, rate: float) -> float:
        if number == 12:
            raise KeyboardInterrupt
        return teach(number, rate)

    killed.step = step  # type: ignore[method-assign]
    clock = Clock()
    clock.now = CHECKPOINT_EVERY_S
    with pytest.raises(KeyboardInterrupt):
        Trainer(killed, told, tmp_path, "Training", hurried(clock)).run()
    file = tmp_path / "kept"
    file.write_bytes(told.kept[-1])
    resumed = learner_of(cut, trained, data, tmp_path / "resumed")
    Trainer(resumed, Told(checkpoint=file), tmp_path, "Training", Clock()).run()

    for one, other in zip(undisturbed.copied(), resumed.copied(), strict=True):
        np.testing.assert_array_equal(one, other)


def hurried(clock: Clock) -> Any:
    """A clock on which a checkpoint is due at every check."""
    return lambda: clock() * CHECKPOINT_EVERY_S


# --- parts ------------------------------------------------------------------------------------------------------------


def test_small_weights_learn_slowly():
    given = keras.Input((32,))
    model = keras.Model(given, layers.Dense(64)(given))
    kernel, bias = model.weights
    assert (scale_of(kernel), scale_of(bias)) == (1.0, 1.0)
    kernel.assign(kernel.numpy() / 100)
    assert 0.005 < scale_of(kernel) < 0.1


def test_images_are_shifted_and_mirrored_by_seed(cut: Path, trained: Path, data: Path, tmp_path: Path):
    learner = learner_of(cut, trained, data, tmp_path / "moved")
    batch = learner.examples.batch(0)
    one, same, other = (augmented(batch, 2, mirror=True, seed=(0, number)).arrays["image"] for number in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert one.shape == batch.arrays["image"].shape
    assert (one != other).any()
    assert np.isin(one, batch.arrays["image"]).all()
