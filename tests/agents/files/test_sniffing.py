from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from apps.agents.contracts.formats import Format
from apps.agents.files import sniffing
from apps.agents.files.sniffing import FileKind, code_members, format_of, sniff, sniff_head
from tests.agents import graphs


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


def _safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


SAVED_MODEL = b"\x08\x01\x12\xd2\xad\x02\x0a\xa4\x30\x12" + bytes(60)

CONTENTS: list[tuple[bytes, FileKind]] = [
    (b"", FileKind.EMPTY),
    (graphs.perceptron().SerializeToString(), FileKind.ONNX),
    (_zip("model.onnx", "weights.bin"), FileKind.ONNX_ZIP),
    (_zip("archive/data.pkl", "archive/data/0", "archive/version"), FileKind.TORCH_ZIP),
    (_zip("m/data.pkl", "m/constants.pkl", "m/code/m.py"), FileKind.TORCHSCRIPT_ZIP),
    (_zip("config.json", "metadata.json", "model.weights.h5"), FileKind.KERAS_ZIP),
    (_zip("saved/saved_model.pb", "saved/variables/variables.index"), FileKind.SAVED_MODEL_ZIP),
    (_zip("m/data/weights/weight_0", "m/models/model.json", "m/archive_format"), FileKind.TORCH_EXPORT),
    (_zip("config.json", "model.safetensors", "tokenizer.json", "onnx/model.onnx"), FileKind.TRANSFORMERS_ZIP),
    (_zip("bert/config.json", "bert/pytorch_model-00001-of-00002.bin"), FileKind.TRANSFORMERS_ZIP),
    (_zip("config.json", "model.onnx", "weights.bin"), FileKind.ONNX_ZIP),
    (_zip("config.json", "elsewhere/model.safetensors"), FileKind.ZIP),
    (_zip("lathe.toml", "config.json", "model.safetensors"), FileKind.STATE_DICT_ZIP),
    (_zip("letter.txt"), FileKind.ZIP),
    (b"PK\x03\x04 and then nothing sensible", FileKind.ZIP),
    (_npz(), FileKind.NPZ),
    (pickle.dumps({"a": 1}), FileKind.PICKLE),
    (pickle.dumps({"a": 1}, protocol=0), FileKind.PICKLE),
    (b"\x89HDF\r\n\x1a\n" + bytes(64), FileKind.HDF5),
    (_safetensors(), FileKind.SAFETENSORS),
    (b"\x1c\x00\x00\x00TFL3" + bytes(64), FileKind.TFLITE),
    (SAVED_MODEL, FileKind.SAVED_MODEL),
    (b"\x89PNG\r\n\x1a\n" + bytes(16), FileKind.PNG),
    (b"PAR1" + bytes(16), FileKind.PARQUET),
    (b"<!DOCTYPE html><html><body>Sign in</body></html>", FileKind.HTML),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", FileKind.GIT_LFS),
    (b'{"error": "not found"}', FileKind.JSON),
    (b"a,b,y\n1,2,0\n3,4,1\n", FileKind.CSV),
    ("Grüße".encode(), FileKind.TEXT),
    (bytes(range(128, 256)) * 4, FileKind.UNKNOWN),
]


@pytest.mark.parametrize(("content", "kind"), CONTENTS, ids=[kind.name.lower() for _, kind in CONTENTS])
def test_a_file_is_known_by_its_content(tmp_path: Path, content: bytes, kind: FileKind) -> None:
    path = tmp_path / "upload.onnx"
    path.write_bytes(content)
    assert sniff(path) is kind


def test_a_character_cut_in_two_at_the_end_of_the_head_is_still_text() -> None:
    assert sniff_head("Ein Satz mit ü".encode()[:-1], 1000) is FileKind.TEXT


def test_a_sentence_can_be_made_of_any_kind() -> None:
    assert all(kind.value.startswith(("a ", "an ")) for kind in FileKind)


def test_a_list_of_names_too_long_for_the_web_process_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(_zip("model.onnx", *(f"w{number}.bin" for number in range(100))))
    assert sniff(path) is FileKind.ONNX_ZIP
    monkeypatch.setattr(sniffing, "LONGEST_DIRECTORY_BYTES", 4000)
    assert sniff(path) is FileKind.ZIP


def test_there_is_a_kind_of_file_for_every_format() -> None:
    assert {format_of(kind) for kind in FileKind} == {*Format, None}


def test_bare_weights_go_to_the_inspector_that_says_what_is_missing() -> None:
    assert {format_of(kind) for kind in (FileKind.SAFETENSORS, FileKind.TORCH_ZIP, FileKind.PICKLE)} == {
        Format.STATE_DICT
    }


def test_code_is_found_by_the_archives_names(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(_zip("lathe.toml", "net/Model.PY", "weights.safetensors", "notes.pyc"))
    assert code_members(path, sniff(path)) == ["net/Model.PY"]


def test_what_torchscript_writes_for_its_own_interpreter_is_no_code(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(_zip("m/data.pkl", "m/constants.pkl", "m/code/__torch__/m.py"))
    assert code_members(path, sniff(path)) == []


def test_a_file_that_is_no_archive_carries_no_code(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(graphs.perceptron().SerializeToString() + _zip("model.py"))
    assert sniff(path) is FileKind.ONNX
    assert code_members(path, sniff(path)) == []
