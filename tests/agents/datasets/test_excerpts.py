"""How single examples are shown: as a small picture, a beginning of a text, or the first values of a row."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.excerpts import MOST_CHARACTERS, SIDE, Shown, excerpt_of
from apps.agents.datasets.loading import open_source


def shown(path: Path, example: int, **spec: object) -> Shown:
    return excerpt_of(open_source(path, DatasetSpec.model_validate(spec), scratch=path.parent / "scratch"), example)


def opened(picture: bytes | None) -> Image.Image:
    assert picture is not None
    return Image.open(io.BytesIO(picture))


def pictures(path: Path, *sizes: tuple[int, int]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, size in enumerate(sizes):
            sink = io.BytesIO()
            Image.new("RGB", size, (250, 0, 0)).save(sink, "PNG")
            archive.writestr(f"{number % 2}/{number}.png", sink.getvalue())
    return path


def test_a_large_picture_is_reduced_and_a_small_one_keeps_its_pixels(tmp_path: Path) -> None:
    path = pictures(tmp_path / "p.zip", (400, 200), (12, 12))
    found = [shown(path, example, kind="images", task="classification") for example in (0, 1)]

    assert opened(found[0].picture).size == (SIDE, SIDE // 2)
    assert opened(found[1].picture).size == (12, 12)
    assert [one.excerpt.picture for one in found] == ["0.jpg", "1.png"]


def test_an_array_with_colours_is_drawn_and_the_rest_of_the_row_is_told(tmp_path: Path) -> None:
    image = np.linspace(-3, 3, 2 * 3 * 16 * 12, dtype=np.float32).reshape(2, 3, 16, 12)
    np.savez(tmp_path / "d.npz", image=image, age=np.asarray([30, 40]), y=np.asarray([0, 1]))
    found = shown(tmp_path / "d.npz", 1, kind="npz", task="classification")

    assert opened(found.picture).size == (12, 16)
    assert found.excerpt.values == (("age", "40"),)


def test_a_long_vector_is_told_by_its_first_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(400.0).reshape(2, 200), y=np.asarray([0, 1]))
    found = shown(tmp_path / "d.npz", 0, kind="npz", task="classification")

    assert found.picture is None
    assert found.excerpt.values == (("x", "0, 1, 2, 3, 4, 5, 6, 7, … (200)"),)


def test_a_row_of_a_table_is_told_by_its_columns(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("height,colour,y\n1.5,red,0\n2.5,blue,1\n")
    found = shown(tmp_path / "d.csv", 1, kind="table", task="classification")

    assert found.excerpt.values == (("height", "2.5"), ("colour", "blue"))


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    lines = [{"text": "short", "label": 0}, {"text": "x" * 1000, "label": 1}]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = shown(tmp_path / "d.jsonl", 1, kind="text", task="classification")

    assert found.excerpt.texts == ("x" * MOST_CHARACTERS + "…",)
