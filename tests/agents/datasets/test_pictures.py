"""Pictures of every kind, and folders as data sets come: read right, or refused with the count and the names."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import (
    DatasetEmpty,
    DatasetUnreadable,
    ImageBroken,
    ImagesBroken,
    PicturesUnread,
)
from apps.agents.contracts.image_preprocessing import ImagePreprocessing
from apps.agents.datasets.inspection import inspect_examples
from apps.agents.datasets.loading import open_source
from apps.agents.files.picture_kinds import READ, kind_of_bytes
from apps.errors import UserError

GREY, COLOURS = "L", "RGB"
RAMP = np.linspace(0, 255, 16, dtype=np.uint8).reshape(4, 4)
PAINTED = np.stack([RAMP, 255 - RAMP, RAMP.T], 2)


def how(color: str = GREY, **more: Any) -> DatasetSpec:
    images = ImagePreprocessing(width=4, height=4, color=color, layout="NHWC", dtype="uint8")  # type: ignore[arg-type]
    return DatasetSpec(**({"kind": "images", "task": "classification", "images": images} | more))


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


PIXELS = encoded(Image.fromarray(RAMP))


def packed(folder: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "d.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return folder / "d.zip"


def pixels(folder: Path, content: bytes, color: str = GREY, name: str = "a/x.png") -> np.ndarray:
    """The one picture as the model gets it."""
    rows = open_source(packed(folder, {name: content}), how(color, task="fidelity")).rows(np.zeros(1, np.int64))
    return np.asarray(rows["image"][0]).squeeze()


def palette() -> Image.Image:
    return Image.fromarray(PAINTED).quantize(16)


def with_alpha(mode: str) -> Image.Image:
    picture = Image.fromarray(RAMP if mode == "LA" else PAINTED).convert(mode)
    picture.putalpha(Image.fromarray(RAMP))
    return picture


DEEP = RAMP.astype(np.uint16) * 257


@pytest.mark.parametrize(
    ("content", "near"),
    [
        (encoded(Image.fromarray(DEEP)), 0),
        (encoded(Image.fromarray(DEEP), "TIFF"), 0),
        (encoded(Image.fromarray(DEEP.astype(">u2")), "TIFF"), 0),
        (b"P5 4 4 65535\n" + DEEP.astype(">u2").tobytes(), 0),
        (b"P5 4 4 255\n" + RAMP.tobytes(), 0),
        (encoded(with_alpha("LA")), 0),
        (encoded(Image.fromarray(RAMP), "BMP"), 0),
        (encoded(Image.fromarray(RAMP), "GIF"), 0),
        (encoded(Image.fromarray(RAMP), "WEBP", lossless=True), 0),
        (encoded(Image.fromarray(RAMP), "JPEG2000"), 0),
        (encoded(Image.fromarray(RAMP), "JPEG", quality=100), 3),
        (encoded(Image.fromarray(RAMP), "AVIF", quality=100), 3),
    ],
)
def test_grey_is_grey_in_every_kind_of_file(tmp_path: Path, content: bytes, near: int) -> None:
    assert np.abs(pixels(tmp_path, content).astype(int) - RAMP).max() <= near


@pytest.mark.parametrize(
    ("content", "near"),
    [
        (encoded(palette()), 0),
        (encoded(palette(), "GIF"), 0),
        (encoded(palette(), transparency=3), 0),
        (encoded(with_alpha("RGBA")), 0),
        (encoded(with_alpha("RGBA"), "WEBP", lossless=True, exact=True), 0),
        (encoded(Image.fromarray(PAINTED), "TIFF"), 0),
        (encoded(Image.fromarray(PAINTED).convert("CMYK"), "TIFF"), 1),
        (encoded(Image.fromarray(PAINTED).convert("YCbCr"), "TIFF"), 3),
        (b"P6 4 4 65535\n" + (PAINTED.astype(">u2") * 257).tobytes(), 0),
    ],
)
def test_colours_are_right_in_every_kind_of_file(tmp_path: Path, content: bytes, near: int) -> None:
    assert np.abs(pixels(tmp_path, content, COLOURS).astype(int) - PAINTED).max() <= near


def test_inks_become_colours_and_grey(tmp_path: Path) -> None:
    red = encoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.allclose(pixels(tmp_path, red, COLOURS), [255, 0, 0], atol=3)
    assert np.allclose(pixels(tmp_path, red, GREY), 76, atol=3)


def test_a_picture_of_one_bit_is_black_and_white(tmp_path: Path) -> None:
    bits = Image.fromarray(RAMP > 100)
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        assert np.array_equal(pixels(tmp_path, encoded(bits, kind)), (RAMP > 100) * 255)


def test_a_png_of_16_bits_a_colour_keeps_its_upper_eight(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in PAINTED.astype(np.uint16) * 257)
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(pixels(tmp_path, b"\x89PNG\r\n\x1a\n" + parts, COLOURS), PAINTED)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path, kind: str, turn: int) -> None:
    turned = {1: RAMP, 2: RAMP[:, ::-1], 3: RAMP[::-1, ::-1], 4: RAMP[::-1], 5: RAMP.T}
    turned |= {6: np.rot90(RAMP, -1), 7: np.rot90(RAMP, 2).T, 8: np.rot90(RAMP)}
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(pixels(tmp_path, encoded(Image.fromarray(RAMP), kind, exif=exif, **options)), turned[turn])


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_range_are_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(ImageBroken, match="32-bit"):
        pixels(tmp_path, encoded(Image.fromarray(RAMP).convert(mode), "TIFF"))


def frames(kind: str) -> bytes:
    others = [Image.fromarray(255 - RAMP)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return encoded(Image.fromarray(RAMP), kind, save_all=True, append_images=others, **options)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken_and_said(tmp_path: Path, kind: str) -> None:
    assert np.array_equal(pixels(tmp_path, frames(kind)), RAMP)
    files = {f"{'ab'[at % 2]}/{at}.gif": frames(kind) if at < 7 else PIXELS for at in range(20)}
    notes = inspect_examples(packed(tmp_path, files), how()).notes
    assert "7 of the decoded pictures have several frames, and only the first is used." in notes


def test_transparency_is_said_where_there_is_any(tmp_path: Path) -> None:
    opaque = encoded(Image.fromarray(PAINTED).convert("RGBA"))
    files = {f"{'ab'[at % 2]}/{at}.png": encoded(with_alpha("RGBA")) if at < 3 else opaque for at in range(20)}
    notes = inspect_examples(packed(tmp_path, files), how(COLOURS)).notes
    assert next(note for note in notes if "transparency" in note).startswith("3 of the decoded pictures")


def test_pictures_that_use_a_few_of_their_bits_are_said_to_be_dark(tmp_path: Path) -> None:
    scans = {f"a/{at}.png": encoded(Image.fromarray(DEEP // 64 if at < 9 else DEEP)) for at in range(20)}
    notes = inspect_examples(packed(tmp_path, scans), how(task="fidelity")).notes
    assert notes[0].startswith("9 of the decoded pictures have 16 bits but use at most the lowest 12")


# --- what is a picture ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*READ, "MPO"])
def test_bytes_say_what_a_picture_is(tmp_path: Path, kind: str) -> None:
    picture = Image.fromarray(PAINTED)
    content = encoded(picture, kind)
    assert kind_of_bytes(content[:32]) == {"MPO": "JPEG"}.get(kind, kind)
    for name in ("a/without", "a/x.JFIF", "a/x.dat", "a/x.jpe"):
        assert pixels(tmp_path, content, COLOURS, name).shape == (4, 4, 3)


HEIC = b"\0\0\0\x18ftypheic" + b"\0" * 20


def test_pictures_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    files = {f"cat/{at}.png": PIXELS for at in range(20)} | {f"dog/{at}.heic": HEIC for at in range(20)}
    with pytest.raises(PicturesUnread) as caught:
        open_source(packed(tmp_path, files | {"dog/x": HEIC, "dog/y.tga": b"raw"}), how())
    for part in ("22 of 42 files", "HEIC", ".tga", "dog/0.heic", "and 17 more"):
        assert part in caught.value.message


def test_other_files_are_left_out_counted_and_named(tmp_path: Path) -> None:
    files = {f"all/{folder}/{at}.png": PIXELS for folder in ("a", "b") for at in range(10)}
    files |= {"all/readme.txt": b"x", "all/a/labels.csv": b"x", "all/c/words.txt": b"x"}
    files |= {"__MACOSX/all/a/._0.png": b"x", "all/a/.DS_Store": b"x", "all/Thumbs.db": b"x"}
    summary = open_source(packed(tmp_path, files), how()).summary
    assert (summary.classes, summary.examples) == (("a", "b"), 20)
    others, hidden = summary.notes
    assert others.startswith("3 files are not pictures and were left out: all/readme.txt, all/a/labels.csv")
    assert others.endswith("There are no pictures in c.")
    assert hidden.startswith("3 hidden files")


@pytest.mark.parametrize(
    ("damaged", "error", "says"),
    [
        ([PIXELS[:60]], ImageBroken, ["a/00.png"]),
        ([PIXELS[:60], b"", b"words", HEIC], ImagesBroken, ["4 of 20", "a/00.png", "empty", "not a picture", "HEIC"]),
        ([PIXELS[:60]] * 9, ImagesBroken, ["9 of 20", "a/04.png", "and 4 more"]),
        ([encoded(Image.fromarray(np.tile(RAMP, (40, 40))), "JPEG")[:700]], ImageBroken, ["a/00.png", "truncated"]),
        ([encoded(Image.fromarray(RAMP), "GIF")[:20]], ImageBroken, ["a/00.png"]),
        ([encoded(Image.fromarray(RAMP), "WEBP")[:30]], ImageBroken, ["a/00.png"]),
        ([encoded(Image.fromarray(RAMP), "BMP")[:60]], ImageBroken, ["a/00.png"]),
        ([encoded(Image.fromarray(RAMP), "TIFF")[:60]], ImageBroken, ["a/00.png"]),
        ([encoded(Image.fromarray(RAMP), "AVIF")[:90]], ImageBroken, ["a/00.png"]),
    ],
)
def test_broken_pictures_are_counted_and_named(
    tmp_path: Path, damaged: list[bytes], error: type[UserError], says: list[str]
) -> None:
    files = {f"a/{at:02}.png": damaged[at] if at < len(damaged) else PIXELS for at in range(20)}
    with pytest.raises(error) as caught:
        inspect_examples(packed(tmp_path, files), how(task="fidelity"))
    for part in says:
        assert part in caught.value.message


# --- folders ----------------------------------------------------------------------------------------------------------


def folders(path: Path, *names: str, **more: Any) -> Any:
    return open_source(packed(path, dict.fromkeys(names, PIXELS)), how(**more)).summary


@pytest.mark.parametrize(
    "names",
    [
        ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"),
        ("shop/train/a/1.png", "shop/train/b/1.png", "shop/test/a/1.png", "shop/test/b/2.png"),
        (
            "shop/data/Training/a/1.png",
            "shop/data/Training/b/1.png",
            "shop/data/Validation/a/1.png",
            "shop/data/test/b/1",
        ),
        ("train/images/a/1.png", "train/images/b/1.png", "valid/images/a/1.png", "valid/images/b/2.png"),
        ("train/a/1.png", "train/b/1.png", "train/b/2.png", "train/b/3.png"),
        ("test_set/a/1.png", "training_set/b/1.png", "training_set/b/2.png", "test_set/b/3.png"),
        ("a/train/1.png", "a/val/1.png", "b/train/1.png", "b/val/2.png"),
        ("a/1.png", "a/more/2.png", "b/1.png", "b/3.png"),
    ],
)
def test_folders_around_the_classes_are_looked_through(tmp_path: Path, names: tuple[str, ...]) -> None:
    summary = folders(tmp_path, *names)
    assert (summary.classes, summary.examples) == (("a", "b"), 4)
    above = [name for name in names if not name.startswith(("a/", "b/"))]
    assert ("class folders lie in" in " ".join(summary.notes)) is bool(above)


def test_folders_of_splits_are_counted(tmp_path: Path) -> None:
    note = folders(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png").notes[0]
    assert "train (2), val (1)" in note
    assert "too high" in note
    assert "too high" not in folders(tmp_path, "test/a/1.png", "val/b/1.png").notes[0]


def test_classes_that_are_named_like_splits_stay_classes(tmp_path: Path) -> None:
    summary = folders(tmp_path, "train/1.png", "bus/1.png")
    assert summary.classes == ("bus", "train")
    assert folders(tmp_path, "train/1.png", "test/1.png", classes=("train", "test")).classes == ("train", "test")


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        (
            ("train/a/1.png", "test/1.png", "test/2.png"),
            DatasetUnreadable,
            "2 pictures lie outside all class folders: test/1",
        ),
        (("train/1.png", "val/2.png"), DatasetUnreadable, "2 pictures lie outside all class folders"),
        (("1.png", "a/2.png"), DatasetUnreadable, "1 picture lies outside all class folders: 1.png"),
        (("train/a/1.png", "val/a/1.png", "more/2.png"), DatasetUnreadable, "train, val .* beside more"),
        ((".hidden/a/1.png",), DatasetEmpty, "not contain pictures"),
    ],
)
def test_folders_that_are_not_clear_are_refused(
    tmp_path: Path, names: tuple[str, ...], error: type[UserError], says: str
) -> None:
    with pytest.raises(error, match=says):
        folders(tmp_path, *names)
