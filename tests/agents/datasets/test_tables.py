"""Tables as programs and spreadsheets save them: read where it is clear what was meant, else refused with the place."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import (
    CellEmpty,
    CellInvalid,
    DatasetEmpty,
    DatasetUnreadable,
    InputShape,
    LabelsMissing,
    NumberAmbiguous,
    TextColumns,
)
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.dataset_fit import bind, check_input
from apps.agents.datasets.loading import load_dataset, open_source
from apps.agents.files.sniffing import FileKind, sniff
from apps.errors import UserError

ROWS = 24
WIDTH = np.random.default_rng(0).normal(size=ROWS).round(4)
WIDTH[0] = 0.5  # decimals that can be nothing else
COUNT = np.arange(ROWS) * 7 % 5
Y = np.arange(ROWS) % 3
FRAME = pd.DataFrame({"width": WIDTH, "count": COUNT, "y": Y})
FEATURES = np.stack([WIDTH, COUNT], 1)
INPUT = TensorSpec(name="x", dtype="float32", shape=("n", 2))


def spec(**more: Any) -> DatasetSpec:
    return DatasetSpec(**({"kind": "table", "task": "classification"} | more))


def text(sep: str = ",", **more: Any) -> str:
    return FRAME.to_csv(index=False, sep=sep, **more)


def saved(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def features(path: Path, how: DatasetSpec, wanted: TensorSpec = INPUT) -> tuple[np.ndarray, np.ndarray]:
    """What the model gets, and the labels, in the file's order."""
    dataset = load_dataset(path, how, [wanted], seed=1)
    evaluation, choosing = next(dataset.evaluation(1000))[0], next(dataset.choosing(1000))[0]
    calibration = next(dataset.calibration(1000, 1000))
    chosen_on = dataset.measured_on(Part.CHOOSING).evaluation_indices
    order = np.argsort([*dataset.evaluation_indices, *dataset.calibration_indices, *chosen_on])
    x = np.concatenate([part[wanted.name] for part in (evaluation, calibration, choosing)])[order]
    labels = open_source(path, how).labels
    assert labels is not None
    return x, labels


def notes(path: Path, how: DatasetSpec) -> str:
    return " ".join(open_source(path, how).summary.notes)


HEADERLESS = "\n".join(text().splitlines()[1:]) + "\n"
SAVETXT = io.StringIO()
np.savetxt(SAVETXT, FRAME.to_numpy(), delimiter=",", header="width,count,y")
SPACED = io.StringIO()
np.savetxt(SPACED, FRAME.to_numpy(), header="width count y", comments="", fmt="%10.4f")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (text(), ""),
        ("\ufeff" + text(), ""),
        (text(";"), "Read with semicolons."),
        ("\ufeff" + text(";", decimal=","), "Read with semicolons and decimal commas."),
        (text("\t"), "Read with tabs."),
        (text("\t", decimal=","), "Read with tabs and decimal commas."),
        (text("|"), "Read with vertical bars."),
        (text(decimal=",", quoting=csv.QUOTE_ALL), "Read with decimal commas."),
        (text(lineterminator="\r\n"), ""),
        (text(lineterminator="\r"), ""),
        (text(";").encode("utf-16"), "Read as UTF-16."),
        (text(";").encode("utf-16-le"), "Read as UTF-16."),
        (text().encode("utf-16-be"), "Read as UTF-16."),
        (text(quoting=csv.QUOTE_ALL), ""),
        ("sep=;\n" + text(";"), "Read with semicolons."),
        ("# made by a program\n# on a day\n" + text(), "Lines that begin with # were skipped as comments."),
        (text().replace("\n", "\n# between, the, rows\n", 1), ""),
        (SAVETXT.getvalue(), "Lines that begin with # were skipped as comments."),
        (SPACED.getvalue(), "Read with spaces."),
        (text().replace("\n", ",\n"), "Rows end with a separator"),
        (text().replace("\n", ";\n").replace("width,count,y;", "width,count,y").replace(";", ","), "Rows end with"),
        (text() + ",,\n,,\n", ""),
        (text() + "\n\n", ""),
        (text().replace("width,count,y", " width , count,y "), ""),
        (text().replace(",", ", "), ""),
        (FRAME.to_csv(), "The column without a name is the index of the rows"),
        (FRAME.to_csv(index_label="Unnamed: 0"), "'Unnamed: 0' is the index of the rows"),
        (FRAME.to_csv(index_label="index"), "'index' is the index of the rows"),
        (FRAME.to_csv(index_label="Id"), "'Id' is the index of the rows"),
        (FRAME.to_csv(index_label="#"), "without a name is the index of the rows"),
        (text() + "  \n\x1a", ""),
        (FRAME.set_index(pd.Index([f"n{row}" for row in range(ROWS)])).to_csv(), "without a name"),
        (FRAME.set_index(pd.Index(np.arange(ROWS) * 5 % 31)).to_csv(), "without a name"),
        # R writes a name for every row and none above them.
        (FRAME.to_csv().replace(",width", "width", 1), "without a name"),
        (FRAME.assign(width=[f"{w:+.4f}" for w in WIDTH]).to_csv(index=False), ""),
        (FRAME.assign(width=[f"{w:.4e}" for w in WIDTH]).to_csv(index=False), ""),
    ],
)
def test_a_table_is_read_however_it_was_saved(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = saved(tmp_path, content)
    assert sniff(path) in (FileKind.CSV, FileKind.TEXT)
    x, y = features(path, spec())
    assert np.allclose(x, FEATURES, atol=1e-3)
    assert np.array_equal(y, Y)
    assert says in notes(path, spec())


def test_a_name_in_latin_letters_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, text().replace("width", "länge").encode("latin-1"))
    assert open_source(path, spec()).summary.inputs[0].name == "länge"
    assert "Windows-1252" in notes(path, spec())


def test_a_quoted_name_may_hold_the_other_separator_and_a_line_break(tmp_path: Path) -> None:
    path = saved(tmp_path, text(";").replace("width", '"width, in\ncm"'))
    assert [one.name for one in open_source(path, spec()).summary.inputs] == ["width, in\ncm", "count"]


@pytest.mark.parametrize("label", ["3", "2"])
def test_a_table_without_a_header_line_is_read_by_place(tmp_path: Path, label: str) -> None:
    path = saved(tmp_path, HEADERLESS)
    with pytest.raises(LabelsMissing, match="1, 2, 3"):
        open_source(path, spec())
    source = open_source(path, spec(label=label, task="regression"))
    assert np.array_equal(source.labels, {"2": COUNT, "3": Y}[label])  # type: ignore[arg-type]
    assert "no header line: its columns are numbered 1 to 3" in " ".join(source.summary.notes)


def test_columns_that_are_only_counted_are_a_header(tmp_path: Path) -> None:
    path = saved(tmp_path, pd.DataFrame(FRAME.to_numpy()).to_csv(index=False))
    x, y = features(path, spec(label="2"))
    assert np.allclose(x, FEATURES)
    assert np.array_equal(y, Y)


@pytest.mark.parametrize(
    ("cells", "numbers", "says"),
    [
        (["1.234,5", "2,25", "7"], [1234.5, 2.25, 7], "decimal commas and points between thousands"),
        (["1,234.5", "2.25", "7"], [1234.5, 2.25, 7], "commas between thousands"),
        (["1,234,567", "1,234", "7"], [1234567, 1234, 7], "commas between thousands"),
        (["1.234.567", "1.234", "7"], [1234567, 1234, 7], "points between thousands"),
        (["1 234,5", "2,25", "7"], [1234.5, 2.25, 7], "decimal commas"),
        (["1\u00a0234.5", "2.25", "7"], [1234.5, 2.25, 7], ""),
        (["1'234.5", "2.25", "7"], [1234.5, 2.25, 7], ""),
        (["0,125", "1,234", "7"], [0.125, 1.234, 7], "decimal commas"),
        (["1.5", "1,234", "7"], [1.5, 1234, 7], "commas between thousands"),
        (["1.234", "2.345", "7"], [1.234, 2.345, 7], ""),
        (["TRUE", "false", "True"], [1, 0, 1], ""),
        (["-.5", "5.", "+3"], [-0.5, 5, 3], ""),
    ],
)
def test_numbers_are_read_as_they_are_written(
    tmp_path: Path, cells: list[str], numbers: list[float], says: str
) -> None:
    frame = FRAME.assign(width=[cells[row % 3] for row in range(ROWS)])
    path = saved(tmp_path, frame.to_csv(index=False, sep=";"))
    x, _ = features(path, spec())
    assert np.allclose(x[:, 0], [numbers[row % 3] for row in range(ROWS)])
    assert says in notes(path, spec())


def test_whole_numbers_behind_the_first_block_may_have_decimals(tmp_path: Path) -> None:
    frame = pd.DataFrame({"width": [*range(300_000), 0.5], "count": 1, "y": 1})
    source = open_source(saved(tmp_path, frame.to_csv(index=False)), spec())
    assert source.summary.inputs[0].dtype == "float64"
    assert source.rows(np.array([300_000]))["width"].tolist() == [0.5]


@pytest.mark.parametrize("cell", ["", "NA", "nan", "NULL", "?", "-", "abc", "12 %"])
def test_a_cell_that_is_no_number_is_named_by_column_and_row(tmp_path: Path, cell: str) -> None:
    frame = FRAME.astype({"width": object})
    frame.loc[7, "width"] = cell
    with pytest.raises(CellInvalid) as caught:
        open_source(saved(tmp_path, frame.to_csv(index=False)), spec())
    assert (caught.value.context["column"], caught.value.context["row"]) == ("width", 8)
    assert repr(cell) in caught.value.message


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (text().replace("\n", "\n1,2\n", 1), DatasetUnreadable, ["row 1 has 2 fields", "3 columns"]),
        (text() + "1,2,3,4\n", DatasetUnreadable, [f"row {ROWS + 1} has 4 fields", "decimal comma"]),
        ("# c\n" + text() + "1,2,3,4\n", DatasetUnreadable, [f"row {ROWS + 1} has 4 fields"]),
        (text().replace("width", "count"), DatasetUnreadable, ["two columns are called 'count'"]),
        (text().replace("count", ""), DatasetUnreadable, ["column 2 has no name"]),
        (text().replace("width", ""), DatasetUnreadable, ["column 1 has no name"]),
        ("width,count,y\n", DatasetEmpty, ["not have a row"]),
        ("width,count,y\n,,\n", DatasetEmpty, ["not have a row"]),
        ("# only\n# comments\n", DatasetEmpty, ["header"]),
        (FRAME.assign(width="").to_csv(index=False), DatasetUnreadable, ["'width' is empty"]),
        (FRAME.assign(width="1,234").to_csv(index=False), NumberAmbiguous, ["'width'", "'1,234'", "row 1"]),
        (
            FRAME.assign(width="1.234", count="0,5").to_csv(index=False, sep=";"),
            NumberAmbiguous,
            ["'width'", "'1.234'", "row 1"],
        ),
        (
            FRAME.assign(width=["1.5", *["0,5"] * (ROWS - 1)]).to_csv(index=False, sep=";"),
            CellInvalid,
            ["'width'", "row 1", "'1.5'"],
        ),
    ],
)
def test_what_is_not_clear_is_refused_with_its_place(
    tmp_path: Path, content: str, error: type[UserError], says: list[str]
) -> None:
    with pytest.raises(error) as caught:
        open_source(saved(tmp_path, content), spec())
    for part in says:
        assert part in caught.value.message


def test_names_of_classes_are_labels(tmp_path: Path) -> None:
    frame = FRAME.assign(y=np.array(["bee", "ant", "cat"])[Y])
    _, y = features(saved(tmp_path, frame.to_csv(index=False)), spec(classes=("bee", "ant", "cat")))
    assert np.array_equal(y, Y)


def test_text_among_the_features_is_named(tmp_path: Path) -> None:
    source = open_source(saved(tmp_path, FRAME.assign(count="red").to_csv(index=False)), spec())
    with pytest.raises(TextColumns, match=r"'count'.*x: float32"):
        bind([INPUT], source.summary)


@given(
    separator=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    end=st.sampled_from(["\n", "\r\n"]),
    index=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_any_way_of_saving_gives_the_same_numbers(
    tmp_path_factory: pytest.TempPathFactory,
    separator: str,
    decimal: str,
    encoding: str,
    end: str,
    index: bool,
    seed: int,
) -> None:
    values = np.random.default_rng(seed).normal(size=(30, 3)).round(3) / 10
    frame = pd.DataFrame({"größe": values[:, 0], "b": values[:, 1], "c": values[:, 2], "y": np.arange(30) % 2})
    content = frame.to_csv(index=index, sep=separator, decimal=decimal, lineterminator=end).encode(encoding)
    path = saved(tmp_path_factory.mktemp("table"), content)
    source = open_source(path, spec())
    assert [one.name for one in source.summary.inputs] == ["größe", "b", "c"]
    rows = source.rows(np.arange(30))
    assert np.allclose(np.stack([rows["größe"], rows["b"], rows["c"]], 1), values)


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2,), (1, 2, 1)])
def test_columns_are_folded_row_by_row(tmp_path: Path, shape: tuple[int, ...]) -> None:
    wanted = TensorSpec(name="x", dtype="float32", shape=("n", *shape))
    x, y = features(saved(tmp_path, text()), spec(shapes={"any": shape}), wanted)
    assert np.allclose(x, FEATURES.reshape(-1, *shape))
    assert np.array_equal(y, Y)


def test_groups_are_folded_each_as_it_says(tmp_path: Path) -> None:
    path = saved(tmp_path, text())
    how = spec(columns={"a": ("count", "width"), "b": ("count",)}, shapes={"a": (2, 1)})
    rows = open_source(path, how).rows(np.arange(ROWS))
    assert np.array_equal(rows["a"], FEATURES[:, ::-1, np.newaxis])
    assert np.array_equal(rows["b"], FEATURES[:, 1:])


@pytest.mark.parametrize(
    "fields",
    [
        {"shapes": {"x": (2,)}, "kind": "npz"},
        {"shapes": {"x": (2,), "z": (2,)}},
        {"shapes": {"z": (2,)}, "columns": {"x": ("a", "b")}},
        {"shapes": {"x": (0, 2)}},
        {"shapes": {"x": ()}},
    ],
)
def test_shapes_that_say_nothing_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="shape"):
        spec(**fields)


def test_a_shape_of_another_size_and_text_in_a_group_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnreadable, match="3 × 2 has 6 numbers, but 2 would fill it"):
        open_source(saved(tmp_path, text()), spec(shapes={"x": (3, 2)}))
    with pytest.raises(DatasetUnreadable, match="'count' contains text"):
        open_source(saved(tmp_path, FRAME.assign(count="red").to_csv(index=False)), spec(shapes={"x": (2, 1)}))


# --- parquet ----------------------------------------------------------------------------------------------------------


def parquet(folder: Path, table: pa.Table | pd.DataFrame, **more: Any) -> Path:
    path = folder / "table.parquet"
    if isinstance(table, pd.DataFrame):
        table.to_parquet(path, **more)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    "column",
    [
        pa.array(COUNT, pa.uint8()),
        pa.array(COUNT % 2 == 1),
        pa.array(COUNT.astype(np.float16)),
        pa.array([Decimal(int(value)) / 4 for value in COUNT], pa.decimal128(9, 2)),
        pa.array(COUNT.tolist(), pa.int64()).dictionary_encode(),
        pa.chunked_array([COUNT[:10], COUNT[10:]]),
    ],
)
def test_a_parquet_column_of_any_numbers_is_a_feature(tmp_path: Path, column: pa.Array) -> None:
    path = parquet(tmp_path, pa.table({"a": column, "b": WIDTH, "y": Y}))
    x, _ = features(path, spec())
    assert np.allclose(x[:, 0], np.asarray(column.to_pylist(), dtype=np.float64))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_a_parquet_column_of_any_text_holds_names(tmp_path: Path, kind: pa.DataType) -> None:
    names = pa.array(np.array(["bee", "ant", "cat"])[Y].tolist()).cast(kind)
    source = open_source(parquet(tmp_path, pa.table({"a": WIDTH, "y": names})), spec())
    assert source.summary.classes == ("ant", "bee", "cat")
    assert source.labels.tolist() == np.array([1, 0, 2])[Y].tolist()  # type: ignore[union-attr]
    with pytest.raises(TextColumns, match="'s'"):
        bind([INPUT], open_source(parquet(tmp_path, pa.table({"a": WIDTH, "s": names, "y": Y})), spec()).summary)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME.set_index(pd.Index(np.random.default_rng(3).permutation(100)[:ROWS])),
        FRAME.set_index(pd.Index([f"n{row}" for row in range(ROWS)], name="who")),
        FRAME.reset_index(names="__index_level_0__"),
        FRAME.reset_index(names="Unnamed: 0"),
        FRAME.assign(__index_level_0__=np.arange(ROWS) // 2, __index_level_1__=np.arange(ROWS) % 2),
        FRAME.assign(__index_level_0__=np.linspace(0, 1, ROWS)),
        FRAME.astype({"count": "Int64", "width": "Float64"}),
    ],
)
def test_an_index_is_no_feature(tmp_path: Path, frame: pd.DataFrame) -> None:
    source = open_source(parquet(tmp_path, frame), spec())
    assert [one.name for one in source.summary.inputs] == ["width", "count"]
    told = [note for note in source.summary.notes if "is the index of the rows" in note]
    assert len(told) == len(pq.read_schema(tmp_path / "table.parquet").names) - 3


def test_an_index_that_is_asked_for_is_a_feature(tmp_path: Path) -> None:
    path = parquet(tmp_path, FRAME.reset_index(names="index"))
    how = spec(columns={"x": ("index", "width")})
    assert open_source(path, how).rows(np.arange(2))["x"][:, 0].tolist() == [0, 1]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3)])
def test_text_that_is_not_marked_as_text_is_text(tmp_path: Path, kind: pa.DataType) -> None:
    names = pa.array(np.array([b"bee", b"ant", b"cat"], object)[Y].tolist(), pa.binary())
    column = pc.cast(names, kind) if kind != pa.binary(3) else pa.array(names.to_pylist(), kind)
    path = parquet(tmp_path, pa.table({"width": WIDTH, "count": COUNT, "y": column}))
    _, y = features(path, spec(classes=("bee", "ant", "cat")))
    assert np.array_equal(y, Y)


@pytest.mark.parametrize(
    ("column", "shape"),
    [
        (pa.array([[1.0, 2.0, 3.0]] * ROWS), (3,)),
        (pa.array([[1, 2, 3]] * ROWS, pa.list_(pa.int32(), 3)), (3,)),
        (pa.array([[[1.0, 2.0], [3.0, 4.0]]] * ROWS), (2, 2)),
        (pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((ROWS, 2, 3), np.float32)), (2, 3)),
    ],
)
def test_lists_of_one_length_are_further_axes(tmp_path: Path, column: pa.Array, shape: tuple[int, ...]) -> None:
    path = parquet(tmp_path, pa.table({"pixels": column, "y": Y}))
    wanted = TensorSpec(name="x", dtype="float32", shape=("n", *shape))
    x, _ = features(path, spec(), wanted)
    assert x.shape == (ROWS, *shape)


@pytest.mark.parametrize(
    ("table", "error", "says"),
    [
        ({"a": [[1.0]] * 5 + [[1.0, 2.0]] * 19, "y": Y}, DatasetUnreadable, "'a'.*of 2 in row 6"),
        ({"a": [[1.0]] * 5 + [[None]] * 19, "y": Y}, CellEmpty, "'a'.*no value in row 6"),
        ({"a": pa.array([1, None, *range(22)]), "y": Y}, CellEmpty, "'a'.*no value in row 2"),
        ({"a": ["red", None, *["blue"] * 22], "y": Y}, CellEmpty, "'a'.*no value in row 2"),
        ({"a": [b"\xff\xd8"] * ROWS, "y": Y}, DatasetUnreadable, "'a' contains bytes that are not"),
        (
            {"a": pa.array([b"\xff\xd8"] * ROWS, pa.binary(2)), "y": Y},
            DatasetUnreadable,
            "'a' contains bytes that are not",
        ),
        ({"a": pa.nulls(ROWS), "y": Y}, DatasetUnreadable, "'a' is empty"),
        ({"a": [{"b": 1}] * ROWS, "y": Y}, DatasetUnreadable, "'a' contains struct"),
    ],
)
def test_a_parquet_column_that_is_no_tensor_is_named(
    tmp_path: Path, table: dict[str, Any], error: type[UserError], says: str
) -> None:
    with pytest.raises(error, match=says):
        open_source(parquet(tmp_path, pa.table(table)), spec())


def test_a_list_beside_other_columns_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, pa.table({"a": [[1.0, 2.0]] * ROWS, "b": WIDTH, "y": Y}))
    with pytest.raises(InputShape, match=r"a: float64\[N, 2\] is a list"):
        check_input(bind([INPUT], open_source(path, spec()).summary)[0])
