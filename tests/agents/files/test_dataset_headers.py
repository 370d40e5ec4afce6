"""Data sets at a glance: specs, headers, and whether data and model fit."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from apps.agents.contracts.dataset_spec import METRICS, TASK_METRICS, DatasetSpec, Metric
from apps.agents.contracts.errors.datasets import (
    ArrayLengths,
    ClassesMismatch,
    DatasetEmpty,
    DatasetUnreadable,
    InputDtype,
    InputExtra,
    InputMissing,
    InputShape,
    LabelCount,
    LabelsInvalid,
    LabelsMissing,
    OutputUnknown,
    PickledArray,
    TextColumns,
    TooFewExamples,
)
from apps.agents.contracts.image_preprocessing import ImagePreprocessing
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.datasets.dataset_fit import check_against, converts
from apps.agents.datasets.loading import open_source
from apps.errors import UserError

NPZ = DatasetSpec(kind="npz", task="classification")


def spec(name: str, dtype: str, *shape: int | str | None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def summary_of(path: Path, spec: DatasetSpec) -> DatasetSummary:
    return open_source(path, spec).summary


def model(
    *inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (spec("logits", "float32", "batch", 10),)
) -> ModelSummary:
    return ModelSummary(
        format="onnx", producer="", opset=21, inputs=inputs, outputs=outputs, parameters=1, size_bytes=1, operators={}
    )


def data(*inputs: TensorSpec, **more: Any) -> DatasetSummary:
    fields = {
        "kind": "npz",
        "task": Task.CLASSIFICATION,
        "examples": 100,
        "labels": spec("y", "int64", "N"),
    }
    return DatasetSummary(inputs=inputs, **fields | more)


IMAGE = spec("image", "float32", "batch", 1, 28, 28)
PIXELS = spec("image", "uint8", "N", 1, 28, 28)


def test_what_the_web_process_reads_needs_no_heavy_library() -> None:
    light = {
        "contracts": "dataset_spec, phrasing",
        "files": "dataset_headers",
        "datasets": "dataset_fit",
        "evaluation": "verdicts, plausibility",
    }
    heavy = {"numpy", "scipy", "PIL", "pyarrow", "onnx", "onnxruntime"}
    imports = "; ".join(f"from apps.agents.{room} import {modules}" for room, modules in light.items())
    program = f"{imports}; import sys; print(*(set({sorted(heavy)}) & set(sys.modules)))"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- specs -----------------------------------------------------------------------------------------------------------


def test_every_task_has_a_metric_and_every_metric_reads() -> None:
    assert set(METRICS) == set(Metric)
    assert set(TASK_METRICS) == set(Task)
    assert NPZ.primary_metric is Metric.TOP1
    assert DatasetSpec(kind="npz", task="embedding", pairs=True).primary_metric is Metric.SPEARMAN


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "npz", "task": "classification", "metric": "mae"},
        {"kind": "images", "task": "regression"},
        {"kind": "npz", "task": "regression", "images": {}},
        {"kind": "npz", "task": "regression", "columns": {"x": ("a",)}},
        {"kind": "npz", "task": "classification", "pairs": True},
        {"kind": "table", "task": "embedding"},
        {"kind": "npz", "task": "classification", "classes": ("a", "a")},
    ],
)
def test_a_spec_whose_parts_do_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DatasetSpec(**fields)


@pytest.mark.parametrize(
    "fields", [{"mean": (0, 0)}, {"std": (0,)}, {"resize": 10}, {"dtype": "uint8", "mean": (0.5,)}]
)
def test_preprocessing_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImagePreprocessing(**fields)


def test_a_spec_survives_the_database() -> None:
    written = DatasetSpec(kind="images", task="classification", images=ImagePreprocessing(color="BGR"))
    assert DatasetSpec.model_validate_json(written.model_dump_json()) == written


# --- headers ---------------------------------------------------------------------------------------------------------


def test_an_npz_shows_its_arrays_without_being_loaded(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, image=np.zeros((30, 1, 28, 28), np.uint8), y=np.zeros(30, np.int32))
    summary = summary_of(path, NPZ)
    assert summary.inputs == (PIXELS,)
    assert summary.labels == spec("y", "int32", "N")
    assert (summary.examples, summary.size_bytes) == (30, path.stat().st_size)


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        ({"x": np.zeros((30, 2)), "z": np.zeros((29, 2)), "y": np.zeros(30, int)}, ArrayLengths),
        ({"x": np.zeros((30, 2))}, LabelsMissing),
        ({"x": np.zeros((30, 2)), "y": np.zeros(29, int)}, LabelCount),
        ({"x": np.zeros((30, 2)), "y": np.array(3)}, LabelCount),
        ({"y": np.zeros(30, int)}, DatasetEmpty),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, DatasetEmpty),
        ({"x": np.array(1.0), "y": np.zeros(30, int)}, DatasetUnreadable),
        ({"x": np.array(["a", None] * 15, dtype=object), "y": np.zeros(30, int)}, PickledArray),
        ({"x": np.zeros(30, "datetime64[s]"), "y": np.zeros(30, int)}, PickledArray),
        ({"x": np.zeros(30, [("a", "f4")]), "y": np.zeros(30, int)}, PickledArray),
        ({"x": np.zeros(30, complex), "y": np.zeros(30, int)}, PickledArray),
    ],
)
def test_arrays_that_make_no_data_set_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], error: type[UserError]
) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(error):
        summary_of(tmp_path / "d.npz", NPZ)


def test_an_object_array_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "|O", "fortran_order": False, "shape": (30,)})
    member.write(pickle.dumps(Trap()))
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", member.getvalue())
    with pytest.raises(PickledArray):
        summary_of(tmp_path / "d.npz", NPZ)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'}",
        b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
        b"\x93NUMPY\x09\x00\x10\x00",
        b"nothing",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00\x30\x75" + b"-" * 29_999 + b"1",
        b"\x93NUMPY\x01\x00\x30\x75" + b"(" * 30_000,
        b"\x93NUMPY\x01\x00\x4c\x00{'descr': '<f4', 'fortran_order': False, 'shape': (0, 10000000000000000000)}",
    ],
)
def test_a_broken_header_is_refused(tmp_path: Path, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DatasetUnreadable, match="'x'"):
        summary_of(tmp_path / "d.npz", NPZ)


def test_an_array_shorter_than_its_header_is_refused(tmp_path: Path) -> None:
    member = io.BytesIO()
    np.save(member, np.zeros((30, 2)))
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", member.getvalue()[:-8])
    with pytest.raises(DatasetUnreadable, match="not have the length"):
        summary_of(tmp_path / "d.npz", NPZ)


def test_a_file_of_another_kind_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"%PDF-1.7 and so on")
    with pytest.raises(DatasetUnreadable, match="PDF"):
        summary_of(tmp_path / "d.npz", NPZ)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x_a": (30, 2), "x_b": (30, 3)}, "are a pair"),
        ({"x_a": (30, 2)}, "lacks its partner"),
        ({"x": (30, 2)}, "neither in _a nor in _b"),
    ],
)
def test_pairs_must_be_pairs(tmp_path: Path, arrays: dict[str, tuple[int, ...]], reason: str) -> None:
    np.savez(tmp_path / "d.npz", y=np.zeros(30), **{name: np.zeros(shape) for name, shape in arrays.items()})
    with pytest.raises(DatasetUnreadable, match=reason):
        summary_of(tmp_path / "d.npz", DatasetSpec(kind="npz", task="embedding", pairs=True))


def images(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return path


def test_class_folders_are_counted_and_other_files_looked_over(tmp_path: Path) -> None:
    path = images(tmp_path / "d.zip", "all/b/1.jpg", "all/a/1.PNG", "all/a/2.png", "all/readme.txt", "__MACOSX/a/1.png")
    summary = summary_of(path, DatasetSpec(kind="images", task="classification"))
    assert (summary.classes, summary.examples) == (("a", "b"), 3)
    assert summary.inputs == (spec("image", "float32", "N", 3, 224, 224),)


def test_folders_with_numbers_are_class_numbers(tmp_path: Path) -> None:
    path = images(tmp_path / "d.zip", "2/1.png", "10/1.png")
    summary = summary_of(path, DatasetSpec(kind="images", task="classification"))
    assert len(summary.classes) == 11


def test_named_classes_give_the_order_and_refuse_strangers(tmp_path: Path) -> None:
    path = images(tmp_path / "d.zip", "cat/1.png", "dog/1.png")
    named = summary_of(path, DatasetSpec(kind="images", task="classification", classes=("dog", "cow", "cat")))
    assert named.classes == ("dog", "cow", "cat")
    with pytest.raises(ClassesMismatch, match="'dog'"):
        summary_of(path, DatasetSpec(kind="images", task="classification", classes=("cat", "cow")))


@pytest.mark.parametrize("names", [("1.png", "a/2.png"), ("readme.txt",)])
def test_pictures_outside_of_folders_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises((DatasetUnreadable, DatasetEmpty)):
        summary_of(images(tmp_path / "d.zip", *names), DatasetSpec(kind="images", task="classification"))


def test_a_csv_shows_columns_types_and_rows(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('\ufeffage,"name, full",price,y\n1,x,2.5,0\n2,"a,b",3,1\n', encoding="utf-8")
    summary = summary_of(tmp_path / "d.csv", DatasetSpec(kind="table", task="classification"))
    assert [(s.name, s.dtype) for s in summary.inputs] == [
        ("age", "int64"),
        ("name, full", "string"),
        ("price", "float64"),
    ]
    assert summary.examples == 2


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a,y\n1,2\n3\n", DatasetUnreadable),
        ("a,a\n1,2\n", DatasetUnreadable),
        ("a,b\n1,2\n", LabelsMissing),
        ("a,y\n", DatasetEmpty),
        ("y,\n1,2\n", DatasetUnreadable),
        ("y\n1\n2\n", DatasetEmpty),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, error: type[UserError]) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(error):
        summary_of(tmp_path / "d.csv", DatasetSpec(kind="table", task="classification"))


# --- fit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "wanted", "right"),
    [
        ("uint8", "float32", True),
        ("float64", "float32", True),
        ("float64", "float16", True),
        ("int64", "int32", True),
        ("bool", "int64", True),
        ("float32", "int64", False),
        ("int64", "bool", False),
        ("string", "float32", False),
        ("float32", "string", False),
        ("string", "string", True),
        ("float32", "bfloat16", True),
    ],
)
def test_types_convert_where_no_meaning_is_lost(found: str, wanted: str, right: bool) -> None:
    assert converts(found, wanted) is right


def test_data_that_fits_passes() -> None:
    check_against(model(IMAGE), data(PIXELS))
    check_against(model(spec("image", "float32", 1, 1, 28, 28)), data(PIXELS))
    check_against(model(spec("image", "float32", "b", 1, "h", None)), data(PIXELS))


FLOATS = spec("x", "float32", "N", 4)


@pytest.mark.parametrize(
    ("against", "summary", "error", "says"),
    [
        (model(IMAGE), data(PIXELS, examples=19), TooFewExamples, ["19", "20"]),
        (
            model(IMAGE, spec("scale", "float32", "batch")),
            data(FLOATS),
            InputMissing,
            ["image: float32[batch, 1, 28, 28]", "x: float32[N, 4]"],
        ),
        (model(IMAGE), data(FLOATS), InputShape, ["the model needs 4 axes, but the data has 2"]),
        (
            model(spec("x", "float32", "n", 2, 2)),
            data(FLOATS),
            InputShape,
            ["the model needs 3 axes, but the data has 2", "can be given the shape 2 × 2"],
        ),
        (
            model(spec("x", "float32", "n", 2)),
            data(spec("size", "int64", "N"), spec("colour", "string", "N"), kind="table"),
            TextColumns,
            ["'colour'", "x: float32[n, 2]"],
        ),
        (
            model(spec("a", "float32", "n"), spec("b", "float32", "n")),
            data(spec("a", "int64", "N"), spec("b", "string", "N"), kind="table"),
            TextColumns,
            ["'b'", "b: float32[n]"],
        ),
        (model(IMAGE), data(PIXELS, FLOATS), InputExtra, ["x: float32[N, 4]", "image: float32[batch, 1, 28, 28]"]),
        (model(spec("x", "int64", "n", 4)), data(FLOATS), InputDtype, ["x: int64[n, 4]", "x: float32[N, 4]"]),
        (
            model(spec("x", "float32", "n", 5)),
            data(FLOATS),
            InputShape,
            ["x: float32[n, 5]", "axis 1 must be 5, but is 4"],
        ),
        (
            model(spec("x", "float32", "n", 4, 1)),
            data(FLOATS),
            InputShape,
            ["the model needs 3 axes, but the data has 2"],
        ),
        (
            model(spec("image", "float32", "n", 3, 32, 32)),
            data(spec("image", "uint8", "N", 32, 32, 3)),
            InputShape,
            ["NHWC, but the model needs NCHW"],
        ),
        (
            model(spec("ids", "int64", "n", "tokens"), spec("mask", "int64", "n", "tokens")),
            data(spec("ids", "int64", "N", 128), spec("mask", "int64", "N", 64)),
            InputShape,
            ["axis 'tokens' is 64 here, but 128 in ids: int64[N, 128]"],
        ),
        (model(IMAGE), data(PIXELS, labels=spec("y", "float32", "N")), LabelsInvalid, ["integers from 0"]),
        (model(IMAGE), data(PIXELS, labels=spec("y", "int64", "N", 2)), LabelsInvalid, ["single axis"]),
        (model(IMAGE), data(PIXELS, classes=tuple("abcdefghijk")), ClassesMismatch, ["11 classes", "10"]),
        (
            model(IMAGE),
            data(spec("image", "float32", "N", 1, 28, 28), kind="images", classes=("cat", "dog")),
            ClassesMismatch,
            ["2 class folders", "name all classes"],
        ),
        (
            model(FLOATS, outputs=(spec("value", "float32", "n", 2),)),
            data(FLOATS, task=Task.REGRESSION, labels=spec("y", "float32", "N", 3)),
            LabelsInvalid,
            ["y: float32[N, 3]", "value: float32[n, 2]"],
        ),
        (
            model(FLOATS),
            data(FLOATS, task=Task.REGRESSION, labels=spec("y", "string", "N")),
            LabelsInvalid,
            ["string"],
        ),
    ],
)
def test_a_misfit_is_named_with_both_sides(
    against: ModelSummary, summary: DatasetSummary, error: type[UserError], says: list[str]
) -> None:
    with pytest.raises(error) as caught:
        check_against(against, summary)
    for part in says:
        assert part in caught.value.message


def test_pictures_go_to_the_only_input_whatever_its_name() -> None:
    check_against(model(spec("pixel_values", "float32", "n", 1, 28, 28)), data(IMAGE, kind="images"))


def test_the_only_array_goes_to_the_only_input_whatever_its_name() -> None:
    check_against(model(spec("pixel_values", "float32", "n", 4)), data(spec("features", "float32", "N", 4)))


def test_pairs_are_found_by_their_names() -> None:
    pairs = data(
        spec("x_a", "float32", "N", 4),
        spec("x_b", "float32", "N", 4),
        task=Task.EMBEDDING,
        labels=spec("y", "float64", "N"),
    )
    check_against(model(spec("x", "float32", "n", 4)), pairs)


def test_the_judged_output_must_be_there() -> None:
    with pytest.raises(OutputUnknown, match=r"'scores'.*logits"):
        check_against(model(IMAGE), data(PIXELS), DatasetSpec(kind="npz", task="classification", output="scores"))
