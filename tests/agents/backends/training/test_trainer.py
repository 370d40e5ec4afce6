"""Training to its end, within its minutes, and across an interruption."""

from __future__ import annotations

from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.agents.backends.torch.training.precision import chosen
from apps.agents.backends.torch.training.teacher import Teacher
from apps.agents.contracts.errors.training import TrainingDiverged
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from tests.agents.told import Killed, Told
from tests.agents.training_lessons import EXAMPLES, Clock, network, trainer

SHORT = Hyperparameters(steps=36, batch_size=16, learning_rate=0.01, patience=100)


def test_mixed_precision_learns_as_much_and_is_the_same_every_time(tmp_path: Path) -> None:
    """On a CPU, which computes in bfloat16 when it is asked to, if not faster."""
    losses = []
    for precision in ("float32", "bfloat16", "bfloat16"):
        hyperparameters = Hyperparameters(steps=30, batch_size=16, learning_rate=0.02, precision=precision)
        losses.append(trainer(tmp_path, network(), hyperparameters).run().held_out_best)
    assert losses[1] == losses[2] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_checks_compute_in_float32_as_the_delivered_model_does(tmp_path: Path) -> None:
    checks = [
        trainer(tmp_path, network(), Hyperparameters(batch_size=16, precision=precision)).stepper.check()
        for precision in ("float32", "bfloat16")
    ]
    assert checks[0] == checks[1]


def test_by_default_the_cpu_computes_in_float32() -> None:
    assert chosen("auto", "cpu") == "float32"
    assert chosen("bfloat16", "cpu") == "bfloat16"


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.02), ("sgd", 0.2)])
def test_training_lowers_the_loss_of_held_out_examples(tmp_path: Path, optimizer: str, rate: float) -> None:
    told, module = Told(), network()
    hyperparameters = Hyperparameters(steps=60, batch_size=16, learning_rate=rate, optimizer=optimizer)
    state = trainer(tmp_path, module, hyperparameters, told=told).run()
    assert state.held_out_best < 0.7 * state.held_out_before
    assert told.metrics["training loss"] == state.training_loss
    assert [step for step, _ in told.curves["held-out loss"]] == [0, *range(5, 61, 5)]
    assert min(value for _, value in told.curves["held-out loss"]) == state.held_out_best
    assert told.fractions == sorted(told.fractions)
    assert told.fractions[-1] == 1.0


def test_between_checks_the_training_loss_is_reported_once_a_second(tmp_path: Path) -> None:
    clock, told = Clock(), Told()
    hyperparameters = Hyperparameters(steps=120, batch_size=16, learning_rate=0.01, patience=100)
    state = trainer(tmp_path, network(), hyperparameters, told=told, clock=clock, hold=lambda: clock.wait(0.25)).run()
    steps = [step for step, _ in told.curves["training loss"]]
    assert steps == sorted({*steps, *range(10, 121, 10)})
    assert all(later - earlier <= 4 for earlier, later in pairwise(steps))
    assert len(steps) <= 12 * 3
    assert 0 < state.training_loss != told.metrics["training loss"], "one is the mean of ten steps, one of the last two"


def test_the_same_seed_gives_the_same_weights_and_another_seed_different_ones(tmp_path: Path) -> None:
    made = []
    for seed in (3, 3, 4):
        module = network()
        trainer(tmp_path, module, Hyperparameters(steps=12, batch_size=16, seed=seed)).run()
        made.append(weights(module))
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not torch.equal(made[0]["head.weight"], made[2]["head.weight"])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("killed_after", [4, 17, 35])
def test_a_killed_training_ends_with_the_same_weights_as_an_undisturbed_one(
    tmp_path: Path, optimizer: str, killed_after: int
) -> None:
    hyperparameters = Hyperparameters(steps=36, batch_size=16, learning_rate=0.01, shift=1, optimizer=optimizer)
    clock, undisturbed = Clock(), network()
    trainer(tmp_path, undisturbed, hyperparameters, clock=clock, hold=lambda: clock.wait(60)).run()

    told, steps, clock = Told(), count(1), Clock()

    def kill() -> None:
        clock.wait(60)
        if next(steps) > killed_after:
            raise Killed

    with pytest.raises(Killed):
        trainer(tmp_path, network(), hyperparameters, told=told, clock=clock, hold=kill).run()
    file = tmp_path / "kept.pt"
    file.write_bytes(told.kept[-1])
    resumed, again = network(), Told(checkpoint=file)
    state = trainer(tmp_path, resumed, hyperparameters, told=again, clock=clock, hold=lambda: clock.wait(60)).run()
    assert f"Training continues at step {3 * (killed_after // 3)} of 36." in again.lines
    assert state.step == 36
    wanted, found = weights(undisturbed), weights(resumed)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize("step_s", [0.5, 3.0])
def test_minutes_are_kept_to_a_tenth(tmp_path: Path, step_s: float) -> None:
    clock = Clock()
    hyperparameters = Hyperparameters(minutes=2, batch_size=16, learning_rate=1e-4, patience=1000)
    trainer(tmp_path, network(), hyperparameters, clock=clock, hold=lambda: clock.wait(step_s)).run()
    assert 108 <= clock.now <= 132


@pytest.mark.parametrize("later_s", [0.5, 3.0])
def test_minutes_are_kept_if_the_machine_becomes_slower_or_faster(tmp_path: Path, later_s: float) -> None:
    clock = Clock()
    hyperparameters = Hyperparameters(minutes=5, batch_size=16, learning_rate=1e-4, patience=1000)
    trainer(
        tmp_path, network(), hyperparameters, clock=clock, hold=lambda: clock.wait(1.0 if clock.now < 90 else later_s)
    ).run()
    assert 270 <= clock.now <= 330


def test_a_killed_training_has_no_more_minutes_than_an_undisturbed_one(tmp_path: Path) -> None:
    hyperparameters = Hyperparameters(minutes=2, batch_size=16, learning_rate=1e-4, patience=1000)
    told, clock = Told(), Clock()

    def kill() -> None:
        clock.wait(1)
        if clock.now > 70:
            raise Killed

    with pytest.raises(Killed):
        trainer(tmp_path, network(), hyperparameters, told=told, clock=clock, hold=kill).run()
    file = tmp_path / "kept.pt"
    file.write_bytes(told.kept[-1])
    clock = Clock()
    state = trainer(
        tmp_path, network(), hyperparameters, told=Told(checkpoint=file), clock=clock, hold=lambda: clock.wait(1)
    ).run()
    assert clock.now < 70
    assert 108 <= state.spent_s <= 132


def test_training_ends_if_the_held_out_loss_stops_improving(tmp_path: Path) -> None:
    hyperparameters = Hyperparameters(steps=600, batch_size=16, learning_rate=0.05, patience=1, warmup=0.01)
    state = trainer(tmp_path, network(), hyperparameters).run()
    assert state.stopped_early
    assert state.step < 600


def test_the_delivered_weights_are_the_best_not_the_last(tmp_path: Path) -> None:
    module = network()
    made = trainer(
        tmp_path, module, Hyperparameters(steps=200, batch_size=16, learning_rate=0.05, patience=1, warmup=0.01)
    )
    state = made.run()
    assert state.best_step < state.step
    assert made.stepper.check() == pytest.approx(state.held_out_best, rel=1e-5)


def test_a_loss_that_is_not_a_number_is_refused_by_name(tmp_path: Path) -> None:
    module = network()

    def spoil() -> None:
        with torch.no_grad():
            module.head.weight.fill_(float("nan"))

    with pytest.raises(TrainingDiverged) as refused:
        trainer(tmp_path, module, SHORT, hold=spoil).run()
    assert refused.value.code == "training.diverged"


def test_batch_norms_learn_the_statistics_of_the_training_batches_or_keep_their_own(tmp_path: Path) -> None:
    for learn in (True, False):
        module = network()
        before = module.norm.running_mean.clone()
        trainer(
            tmp_path, module, Hyperparameters(steps=12, batch_size=16, learning_rate=0.01, learn_statistics=learn)
        ).run()
        assert torch.equal(before, module.norm.running_mean) is not learn


def test_held_weights_do_not_change(tmp_path: Path) -> None:
    module = network()
    mask = torch.from_numpy(np.random.default_rng(0).integers(0, 2, tuple(module.head.weight.shape))).float()

    def hold() -> None:
        with torch.no_grad():
            module.head.weight.mul_(mask)

    trainer(tmp_path, module, SHORT, hold=hold).run()
    assert torch.equal(module.head.weight == 0, mask == 0)


def asked_teacher(keeps: bool = True) -> tuple[Teacher, list[int]]:
    """A teacher that answers what another network would, and how many examples it was asked about each time."""
    other, asked = network(), []
    with torch.no_grad():
        other.head.weight.mul_(-2)

    def ask(tensors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        asked.append(len(tensors["x"]))
        return [other(tensors["x"])]

    return Teacher(ask, 0, EXAMPLES // 2, keeps), asked


def test_a_teacher_runs_once_per_example(tmp_path: Path) -> None:
    hyperparameters = Hyperparameters(
        steps=70, batch_size=12, learning_rate=0.001, patience=100
    )  # Nine batches a pass.
    teacher, asked = asked_teacher()
    remembered, told = network(), Told()
    trainer(tmp_path, remembered, hyperparameters, told=told, teacher=teacher).run()
    assert sum(asked) == EXAMPLES // 2
    forgetful, every = asked_teacher(keeps=False)
    module = network()
    trainer(tmp_path, module, hyperparameters, teacher=forgetful).run()
    assert sum(every) > 5 * sum(asked)
    assert torch.allclose(module.head.weight, remembered.head.weight, atol=1e-4)


def test_a_killed_training_with_a_teacher_ends_with_the_same_weights(tmp_path: Path) -> None:
    hyperparameters = Hyperparameters(steps=36, batch_size=12, learning_rate=0.01, patience=100)
    clock, undisturbed = Clock(), network()
    teacher, _ = asked_teacher()
    trainer(tmp_path, undisturbed, hyperparameters, clock=clock, hold=lambda: clock.wait(60), teacher=teacher).run()
    told, steps, clock = Told(), count(1), Clock()

    def kill() -> None:
        clock.wait(60)
        if next(steps) > 20:
            raise Killed

    with pytest.raises(Killed):
        trainer(
            tmp_path, network(), hyperparameters, told=told, clock=clock, hold=kill, teacher=asked_teacher()[0]
        ).run()
    file = tmp_path / "kept.pt"
    file.write_bytes(told.kept[-1])
    teacher, asked = asked_teacher()
    resumed = network()
    trainer(
        tmp_path, resumed, hyperparameters, told=Told(checkpoint=file), hold=lambda: clock.wait(60), teacher=teacher
    ).run()
    assert not asked
    wanted, found = weights(undisturbed), weights(resumed)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
