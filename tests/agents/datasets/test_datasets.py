"""Loading every kind of data set, and keeping calibration and evaluation apart."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from apps.agents.contracts.dataset_spec import (
    CALIBRATION_MAXIMUM,
    CHOOSING_MAXIMUM,
    CHOOSING_MINIMUM,
    DatasetKind,
    DatasetSpec,
    part_sizes,
)
from apps.agents.contracts.errors.datasets import (
    CellInvalid,
    DatasetTooLarge,
    DatasetUnreadable,
    ImageBroken,
    LabelsInvalid,
    ValuesOutOfRange,
)
from apps.agents.contracts.image_preprocessing import ImagePreprocessing
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.loading import load_dataset
from apps.agents.datasets.split import split, stratified_order

CLASSIFY = DatasetSpec(kind="npz", task="classification")
PICTURE = TensorSpec(name="image", dtype="float32", shape=("batch", 1, 4, 4))


def arrays(path: Path, compress: bool = False, **named: np.ndarray) -> Path:
    (np.savez_compressed if compress else np.savez)(path, **named)
    return path


def pictures(path: Path, folders: dict[str, list[Image.Image]], suffix: str = "png") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for folder, images in folders.items():
            for index, image in enumerate(images):
                content = io.BytesIO()
                image.save(content, "PNG")
                archive.writestr(f"{folder}/{index:03}.{suffix}", content.getvalue())
    return path


# --- the split -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), min_size=20, max_size=400), st.integers(0, 2**32))
@settings(max_examples=60)
def test_no_example_is_in_two_parts_and_none_is_left_out(labels: list[int], seed: int) -> None:
    parts = split(len(labels), seed, np.array(labels))
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert tuple(map(len, parts)) == part_sizes(len(labels))
    assert list(parts.evaluation) == sorted(parts.evaluation)
    assert list(parts.choosing) == sorted(parts.choosing)
    assert not len(parts.training)


def test_the_validation_part_has_each_classs_share_of_a_file_that_is_sorted_by_class() -> None:
    labels = np.repeat(np.arange(4), 250)
    parts = split(1000, 7, labels)
    assert np.bincount(labels[parts.choosing]).tolist() == pytest.approx([len(parts.choosing) / 4] * 4, abs=2)
    assert np.bincount(labels[parts.evaluation]).tolist() == pytest.approx([len(parts.evaluation) / 4] * 4, abs=2)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.9])
def test_what_is_set_apart_for_training_is_in_no_other_part_and_moves_no_calibration(share: float) -> None:
    labels = np.arange(200) % 4
    parts = split(200, 7, labels, share)
    assert sorted(np.concatenate(parts)) == list(range(200))
    assert len(parts.training) == min(int(200 * share), 180 - len(parts.calibration)), "a tenth is left to judge by"
    assert list(parts.calibration) == list(split(200, 7, labels).calibration)
    assert np.bincount(labels[parts.training]).tolist() == pytest.approx([len(parts.training) / 4] * 4, abs=2)


@given(st.integers(20, 200_000), st.sampled_from([0.0, 0.3, 0.7, 0.9]))
def test_every_part_has_its_bounds_and_most_is_left_to_judge_by(examples: int, training_share: float) -> None:
    sizes = part_sizes(examples, training_share)
    left = sizes.choosing + sizes.evaluation
    assert sum(sizes) == examples
    assert sizes.calibration <= CALIBRATION_MAXIMUM
    assert 1 <= sizes.choosing <= min(CHOOSING_MAXIMUM, left / 2)
    assert sizes.choosing >= CHOOSING_MINIMUM or left < 3 * CHOOSING_MINIMUM + 3


def test_a_share_for_training_that_leaves_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"less than or equal to 0\.9"):
        DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION, training_share=0.95)


@given(st.lists(st.integers(0, 4), min_size=20, max_size=200), st.integers(0, 2**32), st.integers(1, 200))
@settings(max_examples=60)
def test_every_beginning_of_the_order_holds_each_classs_share(labels: list[int], seed: int, first: int) -> None:
    values = np.array(labels)
    first = min(first, len(values))
    begun = values[stratified_order(values, seed)[:first]]
    for number in np.unique(values):
        expected = first * np.mean(values == number)
        # One for the class's own rounding; the others' together may shift the boundary by as many as there are classes.
        assert abs(np.sum(begun == number) - expected) <= 1 + len(np.unique(values)) * np.mean(values == number)


@given(st.integers(20, 10_000), st.integers(0, 2**32))
@settings(max_examples=30)
def test_the_same_seed_splits_the_same_way(examples: int, seed: int) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(split(examples, seed), split(examples, seed), strict=True))


def test_another_seed_splits_another_way() -> None:
    assert not np.array_equal(split(200, 1)[0], split(200, 2)[0])


# --- npz -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_an_npz_gives_batches_of_the_models_type_in_order(tmp_path: Path, compress: bool) -> None:
    x = np.random.default_rng(0).integers(0, 255, (50, 1, 4, 4), dtype=np.uint8)
    y = np.arange(50) % 5
    path = arrays(tmp_path / "d.npz", compress, image=x, y=y)
    dataset = load_dataset(path, CLASSIFY, [PICTURE], seed=3, scratch=tmp_path / "scratch")
    seen, labels = [], []
    for feeds, of_batch in dataset.evaluation(16):
        assert feeds["image"].dtype == np.float32
        assert len(feeds["image"]) <= 16
        seen.append(feeds["image"])
        labels.append(of_batch)
    assert np.array_equal(np.concatenate(seen), x[dataset.evaluation_indices])
    assert np.array_equal(np.concatenate(labels), y[dataset.evaluation_indices])
    assert np.array_equal(dataset.evaluation_labels, y[dataset.evaluation_indices])
    calibration = np.concatenate([feeds["image"] for feeds in dataset.calibration(7, 3)])
    assert np.array_equal(calibration, x[dataset.calibration_indices[:7]])
    assert len(list(dataset.calibration(1000, 1))) == 10


def test_choosing_and_the_portions_of_evaluation_are_read_like_the_whole_evaluation_part(tmp_path: Path) -> None:
    x = np.arange(300, dtype=np.float32).reshape(300, 1)
    y = np.repeat(np.arange(3), 100)
    path = arrays(tmp_path / "d.npz", x=x, y=y)
    dataset = load_dataset(path, CLASSIFY, [TensorSpec(name="x", dtype="float32", shape=("batch", 1))], seed=3)

    def seen(batches: Any) -> list[int]:
        return [int(value) for feeds, labels in batches for value in feeds["x"][:, 0]]

    choosing = dataset.measured_on(Part.CHOOSING)
    assert seen(dataset.choosing(16)) == seen(choosing.evaluation(16)) == choosing.evaluation_indices.tolist()
    assert dataset.measured_on(Part.EVALUATION).evaluation_rows == len(dataset.evaluation_indices)
    assert np.array_equal(choosing.evaluation_labels, y[choosing.evaluation_indices])
    assert [seen(one.evaluation(16)) for one in dataset.portions((1.0,))] == [dataset.evaluation_indices.tolist()]
    quarter, rest = dataset.portions((0.25, 1.0))
    assert sorted(seen(quarter.evaluation(16)) + seen(rest.evaluation(16))) == dataset.evaluation_indices.tolist()
    assert np.bincount(quarter.evaluation_labels).tolist() == pytest.approx([quarter.evaluation_rows / 3] * 3, abs=2)
    assert quarter.evaluation_rows == round(len(dataset.evaluation_indices) / 4)


def test_what_unpacks_to_more_than_the_worker_has_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = arrays(tmp_path / "d.npz", True, image=np.zeros((20, 1, 64, 64), np.float32), y=np.zeros(20, np.int64))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DatasetTooLarge, match=r"'image.npy' unpacks to .* bytes, but only 1,000 are free"):
        load_dataset(path, CLASSIFY, [PICTURE], seed=1, scratch=tmp_path / "scratch")
    assert not list((tmp_path / "scratch").rglob("*.npy"))


def test_fortran_order_and_foreign_byte_order_are_read_right(tmp_path: Path) -> None:
    x = np.arange(40 * 16, dtype=">f4").reshape(40, 1, 4, 4)
    path = arrays(tmp_path / "d.npz", image=np.asfortranarray(x), y=np.zeros(40, np.int16))
    dataset = load_dataset(path, CLASSIFY, [PICTURE], seed=1)
    feeds, _ = next(dataset.evaluation(100))
    assert np.array_equal(feeds["image"], x[dataset.evaluation_indices].astype(np.float32))


def test_an_integer_that_does_not_fit_the_input_is_refused(tmp_path: Path) -> None:
    path = arrays(tmp_path / "d.npz", ids=np.full((30, 2), 2**40), y=np.zeros(30, np.int64))
    dataset = load_dataset(path, CLASSIFY, [TensorSpec(name="ids", dtype="int32", shape=("n", 2))], seed=1)
    with pytest.raises(ValuesOutOfRange, match=r"'ids'.*1099511627776.*int32"):
        next(dataset.evaluation(4))


def test_timing_gets_as_many_rows_as_it_asks_for(tmp_path: Path) -> None:
    path = arrays(tmp_path / "d.npz", image=np.zeros((20, 1, 4, 4), np.float32), y=np.zeros(20, np.int64))
    dataset = load_dataset(path, CLASSIFY, [PICTURE], seed=1)
    assert dataset.first(33)["image"].shape == (33, 1, 4, 4)
    assert dataset.first(1)["image"].shape == (1, 1, 4, 4)


def test_a_huge_example_makes_small_batches(tmp_path: Path) -> None:
    path = arrays(tmp_path / "d.npz", image=np.zeros((20, 1, 1024, 1024), np.uint8), y=np.zeros(20, np.int64))
    wide = TensorSpec(name="image", dtype="float32", shape=("n", 1, "h", "w"))
    assert load_dataset(path, CLASSIFY, [wide], seed=1).affordable_batch(64) == 16


def test_pairs_come_as_left_rows_then_right_rows(tmp_path: Path) -> None:
    left, right = np.arange(60.0).reshape(30, 2), -np.arange(60.0).reshape(30, 2)
    path = arrays(tmp_path / "d.npz", x_a=left, x_b=right, y=np.linspace(0, 1, 30))
    spec = DatasetSpec(kind="npz", task="embedding", pairs=True)
    dataset = load_dataset(path, spec, [TensorSpec(name="x", dtype="float32", shape=("n", 2))], seed=1)
    feeds, labels = next(dataset.evaluation(5))
    chosen = dataset.evaluation_indices[:5]
    assert np.array_equal(feeds["x"], np.concatenate([left[chosen], right[chosen]]))
    assert labels is not None
    assert len(labels) == 5
    assert dataset.first(7)["x"].shape == (7, 2)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [(np.full(30, -1), "begin at 0"), (np.full(30, 0.5), "integers"), (np.zeros((30, 2), int), "single axis")],
)
def test_labels_that_are_no_class_numbers_are_refused(tmp_path: Path, labels: np.ndarray, reason: str) -> None:
    path = arrays(tmp_path / "d.npz", image=np.zeros((30, 1, 4, 4), np.float32), y=labels)
    with pytest.raises(LabelsInvalid, match=reason):
        load_dataset(path, CLASSIFY, [PICTURE], seed=1)


def test_without_labels_fidelity_works_and_leaves_a_stray_label_array_out(tmp_path: Path) -> None:
    path = arrays(tmp_path / "d.npz", image=np.zeros((30, 1, 4, 4), np.float32), y=np.zeros(30))
    dataset = load_dataset(path, DatasetSpec(kind="npz", task="fidelity"), [PICTURE], seed=1)
    feeds, labels = next(dataset.evaluation(4))
    assert set(feeds) == {"image"}
    assert labels is None


# --- pictures --------------------------------------------------------------------------------------------------------


def test_folders_become_classes_and_pictures_tensors(tmp_path: Path) -> None:
    red, blue = Image.new("RGB", (9, 5), (255, 0, 0)), Image.new("RGB", (5, 9), (0, 0, 255))
    path = pictures(tmp_path / "d.zip", {"set/cat": [red] * 12, "set/dog": [blue] * 13})
    how = ImagePreprocessing(width=4, height=4, resize=4, mean=(0.5,), std=(0.5,))
    spec = DatasetSpec(kind="images", task="classification", images=how)
    wanted = TensorSpec(name="pixels", dtype="float32", shape=("n", 3, 4, 4))
    dataset = load_dataset(path, spec, [wanted], seed=1)
    assert dataset.summary.classes == ("cat", "dog")
    assert dataset.summary.examples == 25
    for feeds, labels in dataset.evaluation(8):
        assert labels is not None
        for picture, label in zip(feeds["pixels"], labels, strict=True):
            assert np.allclose(picture[2 * label], 1.0)
            assert np.allclose(picture[2 - 2 * label], -1.0)


@pytest.mark.parametrize(
    ("options", "shape", "first_pixel"),
    [
        ({"layout": "NHWC", "scale": 1.0}, (4, 6, 3), [10, 20, 30]),
        ({"layout": "NHWC", "color": "BGR", "scale": 1.0}, (4, 6, 3), [30, 20, 10]),
        ({"layout": "NHWC", "dtype": "uint8"}, (4, 6, 3), [10, 20, 30]),
        ({"layout": "NHWC", "scale": 0.5, "mean": (1, 2, 3), "std": (2, 2, 2)}, (4, 6, 3), [2, 4, 6]),
    ],
)
def test_preprocessing_does_what_it_says(
    tmp_path: Path, options: dict[str, Any], shape: tuple[int, ...], first_pixel: list[int]
) -> None:
    path = pictures(tmp_path / "d.zip", {"a": [Image.new("RGB", (30, 20), (10, 20, 30))] * 20})
    how = ImagePreprocessing(width=6, height=4, **options)
    spec = DatasetSpec(kind="images", task="fidelity", images=how)
    wanted = TensorSpec(name="x", dtype=how.dtype, shape=("n", *how.shape))
    feeds, _ = next(load_dataset(path, spec, [wanted], seed=1).evaluation(2))
    assert feeds["x"].shape[1:] == shape
    assert feeds["x"][0, 0, 0].tolist() == pytest.approx(first_pixel)


def test_the_crop_is_the_centre_of_the_resized_picture(tmp_path: Path) -> None:
    wide = Image.new("L", (30, 10), 0)
    wide.paste(255, (10, 0, 20, 10))
    path = pictures(tmp_path / "d.zip", {"a": [wide] * 20})
    how = ImagePreprocessing(width=10, height=10, resize=10, color="L", scale=1.0, interpolation="nearest")
    spec = DatasetSpec(kind="images", task="fidelity", images=how)
    feeds, _ = next(
        load_dataset(path, spec, [TensorSpec(name="x", dtype="float32", shape=("n", 1, 10, 10))], seed=1).evaluation(1)
    )
    assert np.all(feeds["x"] == 255)


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(20):
            archive.writestr(f"a/{index}.png", b"no picture at all")
    how = ImagePreprocessing(width=4, height=4)
    spec = DatasetSpec(kind="images", task="fidelity", images=how)
    dataset = load_dataset(path, spec, [TensorSpec(name="x", dtype="float32", shape=("n", 3, 4, 4))], seed=1)
    with pytest.raises(ImageBroken, match=r"a/\d+\.png"):
        next(dataset.evaluation(1))


# --- tables ----------------------------------------------------------------------------------------------------------


def table(path: Path, rows: int = 30) -> dict[str, list[float]]:
    random = np.random.default_rng(0)
    columns = {"a": random.normal(size=rows), "b": random.integers(0, 9, rows), "y": random.integers(0, 2, rows)}
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.table(columns), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=";" if "semicolon" in path.name else ",")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    return {name: values.tolist() for name, values in columns.items()}


@pytest.mark.parametrize("name", ["d.csv", "semicolon.csv", "d.parquet"])
def test_a_tables_columns_go_to_the_only_input_in_order(tmp_path: Path, name: str) -> None:
    columns = table(tmp_path / name)
    spec = DatasetSpec(kind="table", task="classification")
    wanted = [TensorSpec(name="features", dtype="float32", shape=(None, 2))]
    dataset = load_dataset(tmp_path / name, spec, wanted, seed=1)
    feeds, labels = next(dataset.evaluation(100))
    chosen = dataset.evaluation_indices
    expected = np.stack([np.array(columns["a"]), np.array(columns["b"])], 1)[chosen]
    assert np.allclose(feeds["features"], expected)
    assert np.array_equal(labels, np.array(columns["y"])[chosen])


def test_a_tables_columns_go_to_inputs_of_their_name(tmp_path: Path) -> None:
    columns = table(tmp_path / "d.csv")
    wanted = [
        TensorSpec(name="b", dtype="int64", shape=("n", 1)),
        TensorSpec(name="a", dtype="float32", shape=("n",)),
    ]
    dataset = load_dataset(tmp_path / "d.csv", DatasetSpec(kind="table", task="regression"), wanted, seed=1)
    feeds, _ = next(dataset.evaluation(100))
    assert feeds["b"].shape == (16, 1)
    assert np.allclose(feeds["a"], np.array(columns["a"])[dataset.evaluation_indices])


def test_groups_of_columns_go_to_the_inputs_they_are_named_for(tmp_path: Path) -> None:
    table(tmp_path / "d.csv")
    spec = DatasetSpec(kind="table", task="regression", columns={"wide": ("b", "a"), "narrow": ("a",)})
    wanted = [TensorSpec(name=name, dtype="float32", shape=("n", size)) for name, size in (("wide", 2), ("narrow", 1))]
    feeds, _ = next(load_dataset(tmp_path / "d.csv", spec, wanted, seed=1).evaluation(4))
    assert feeds["wide"].shape == (4, 2)
    assert np.array_equal(feeds["wide"][:, 1:], feeds["narrow"])


def test_an_empty_cell_is_named_by_row_and_column(tmp_path: Path) -> None:
    rows = [f"{i},{i % 2}" for i in range(30)]
    rows[4] = ",1"
    (tmp_path / "d.csv").write_text("a,y\n" + "\n".join(rows))
    wanted = [TensorSpec(name="a", dtype="float32", shape=("n",))]
    with pytest.raises(CellInvalid, match=r"'a'.*row 5"):
        load_dataset(tmp_path / "d.csv", DatasetSpec(kind="table", task="regression"), wanted, seed=1)


def test_a_parquet_column_of_dates_is_refused(tmp_path: Path) -> None:
    dates = pa.array([0] * 30, type=pa.timestamp("s"))
    pyarrow.parquet.write_table(pa.table({"when": dates, "y": [0] * 30}), tmp_path / "d.parquet")
    with pytest.raises(DatasetUnreadable, match="'when'"):
        load_dataset(tmp_path / "d.parquet", DatasetSpec(kind="table", task=Task.REGRESSION), [PICTURE], seed=1)
