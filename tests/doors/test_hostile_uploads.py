"""Uploads that try to get out of the child which opens them, from their bytes to a refusal or a verdict.

The model's code is `tests.agents.escapes`, which tries every way by name and says which were open. The worker that it
aims at is this process, with its real database, secret key and store.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import onnx
import pytest
from django.conf import settings as configured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from transformers.utils import sentencepiece_model_pb2_new

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.sandbox import Level, Sandbox, SandboxRule
from apps.agents.contracts.state import Status
from apps.agents.sandbox.walls import closing
from apps.models import inspection
from apps.models.models import Blob, ModelVersion
from apps.models.storage import local_path, put_stream
from apps.optimization import jobs
from lathe.secret_key import kept_in
from tests.agents import escapes, graphs
from tests.agents.aims import aims_in
from tests.agents.escapes import Aims
from tests.agents.text_folders import folder
from tests.agents.torch_uploads import CODE, described_zip, folder_zip
from tests.door import Door, quick, told
from tests.optimization import crank

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

HERE = closing.detect()
closed = pytest.mark.skipif(
    HERE.level is not Level.FULL, reason=f"the sandbox of this kernel is {HERE.level.value}: {'; '.join(HERE.gaps)}"
)
TEXTS: dict[str, Any] = {"kind": "text", "task": "classification"}


BROKEN_PIECES = b"\x0a\xff\xff\xff\xff\x7f" + bytes(100)
"""A SentencePiece model whose first piece is longer than the file."""
NESTED_PIECES = b"\x0b" * 100_000
"""Groups within groups, for a parser that calls itself."""


def sound_pieces() -> bytes:
    """A SentencePiece model as the library writes it."""
    model = sentencepiece_model_pb2_new.ModelProto()
    for piece in ("<unk>", "<s>", "</s>", "a"):
        model.pieces.add(piece=piece, score=0.0)
    return bytes(model.SerializeToString())


@pytest.fixture
def aims(tmp_path: Path) -> Iterator[Aims]:
    """The worker's own secrets, and harmless stand-ins for what would be spoilt."""
    (tmp_path / "aims").mkdir()
    kept_in(configured.LATHE.var_dir)
    theirs: Blob = put_stream([b"another team's model"])
    with aims_in(tmp_path / "aims") as aims, local_path(theirs) as path:
        aims |= {
            "secret": str(configured.LATHE.var_dir / "secret_key"),
            "blob": str(path),
            "var": str(configured.LATHE.var_dir),
            "file_bytes": configured.LATHE.largest_step_file_bytes,
        }
        if connection.vendor == "sqlite":
            aims["database"] = str(connection.settings_dict["NAME"])
        yield aims


def hostile_model(aims: Aims, path: Path) -> Path:
    """A network whose code tries every way out each time it is built, and is honest if none is open."""
    tries = (
        f"    open_ways = successes({aims!r})\n"
        "    if open_ways:\n"
        "        raise RuntimeError('OPEN ' + ' '.join(open_ways))\n"
    )
    code = CODE.replace("from .layers", "from .escapes import successes\nfrom .layers").replace(
        "def build(classes):\n", f"def build(classes):\n{tries}"
    )
    return described_zip(path, {"model.py": code, "escapes.py": Path(escapes.__file__).read_text()})


def images() -> bytes:
    file = io.BytesIO()
    chance = np.random.default_rng(0)
    np.savez(file, x=chance.standard_normal((60, 3, 8, 8)).astype(np.float32), y=np.arange(60) % 5)
    return file.getvalue()


@closed
def test_code_that_tries_every_way_out_finds_none_open_and_its_honest_part_comes_to_a_verdict(
    door: Door, aims: Aims, tmp_path: Path
) -> None:
    version = door.model(hostile_model(aims, tmp_path / "model.zip"))
    dataset = door.data(images(), {"kind": "npz", "task": "classification", "label": "y"}, "data.npz")
    session = door.verdict(version, dataset, quick("torch-half", budget=Budget(minutes=4, candidates=1)))
    assert not session.steps.exclude(traceback="").exists(), told(session)
    assert Path(aims["victim"]).read_text() == "the victim"
    assert Path(aims["doomed"]).exists()


def test_the_same_code_gets_out_where_nothing_closes_it_in(
    door: Door, aims: Aims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the test above would show nothing. The refusal has the names of the ways that were open."""
    monkeypatch.setattr(closing, "detect", Sandbox)
    version = door.send_model(hostile_model(aims, tmp_path / "model.zip"))
    assert not version.ready
    for way in ("reads_the_secret_key", "reads_another_teams_blob", "writes_outside_scratch"):
        assert way in version.refusal


def test_where_a_sandbox_is_required_and_missing_an_upload_is_not_opened(
    door: Door, aims: Aims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.LATHE = replace(settings.LATHE, sandbox=SandboxRule.REQUIRED)
    monkeypatch.setattr(closing, "detect", Sandbox)
    model = door.post("models", {"name": "hostile"})["id"]
    content = SimpleUploadedFile("model.zip", hostile_model(aims, tmp_path / "model.zip").read_bytes())
    made = door.post("versions", {"model": model, "file": content}, multipart=True)["id"]
    for _ in range(3):
        assert crank.turn(), "the check is asked for again"
    assert ModelVersion.objects.get(pk=made).pending, "it waits for a worker that can check it"
    list(crank.messages())
    assert Path(aims["victim"]).read_text() == "the victim"


# --- parsers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        # Exponential: the library gives up by itself, though by a panic that is no exception.
        (r"(?:a|a|b?a)*b", "model.tokenizer_broken"),
        # The third power: it stays below the library's limit at each of the text's characters.
        (r"a*a*b", "step.timed_out"),
    ],
)
def test_a_tokenizer_that_never_ends_is_stopped_and_its_other_files_are_not_run(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expression: str, code: str
) -> None:
    """A regular expression that takes all time, a Jinja template that is code, a broken SentencePiece model.

    No chat template is ever rendered. Beside `tokenizer.json`, no other file of a tokenizer is opened.
    """
    path = folder("Bert", tmp_path / "files", begins=True, ends=True)
    spoilt = tmp_path / "spoilt"
    tokenizer = json.loads((path / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {
        "type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False
    }  # fmt: skip
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    template = "{{ cycler.__init__.__globals__.os.system('touch FILE') }}"
    jinja2.Template(template.replace("FILE", str(tmp_path / "control"))).render()
    assert (tmp_path / "control").exists()
    (path / "chat_template.jinja").write_text(template.replace("FILE", str(spoilt)))
    (path / "tokenizer.model").write_bytes(BROKEN_PIECES)
    version = door.send_model(folder_zip(path, tmp_path / "model.zip"))
    assert version.ready, version.refusal
    rows = [json.dumps({"text": "a" * 3_000 + " b", "label": number % 2}) for number in range(60)]
    dataset = door.data("\n".join(rows).encode(), TEXTS, "texts.jsonl")
    usual = jobs.limits
    monkeypatch.setattr(
        jobs, "limits", lambda found: replace(usual(found), time_s=60.0 if code == "model.tokenizer_broken" else 15.0)
    )
    session = door.run(version, dataset, quick("torch-half"))
    assert session.status == Status.FAILED, told(session)
    assert session.error_code == code, told(session)
    assert not spoilt.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.model", BROKEN_PIECES),
        ("spiece.model", NESTED_PIECES),
        ("sentencepiece.bpe.model", sound_pieces()),
    ],
    ids=["broken", "nested", "sound"],
)
def test_a_sentencepiece_model_is_refused_and_not_parsed(door: Door, tmp_path: Path, name: str, content: bytes) -> None:
    """Whatever is in it: no library here reads the format."""
    path = folder("Bert", tmp_path / "files", begins=True, ends=True)
    (path / "tokenizer.json").unlink()
    (path / name).write_bytes(content)
    version = door.send_model(folder_zip(path, tmp_path / "model.zip"))
    assert not version.ready
    assert version.refusal_code == "model.tokenizer_broken"
    assert f"it is in {name} only" in version.refusal
    assert "adds tokenizer.json" in version.refusal


def test_a_vocabulary_does_not_open_the_sentencepiece_model_beside_it(door: Door, tmp_path: Path) -> None:
    path = folder("Bert", tmp_path / "files", begins=True, ends=True)
    (path / "tokenizer.json").unlink()
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    (path / "vocab.txt").write_text("[UNK]\n[PAD]\n[CLS]\n[SEP]\n[MASK]\na\n")
    (path / "tokenizer.model").write_bytes(NESTED_PIECES)
    version = door.send_model(folder_zip(path, tmp_path / "model.zip"))
    assert (version.ready, version.refusal_code) == (False, "model.tokenizer_broken")


class Pickled:
    """Writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (str(self._path), "w")


def test_a_pickle_in_an_array_file_is_refused_and_not_read(door: Door, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    pickle.loads(pickle.dumps(Pickled(tmp_path / "control"))).close()  # noqa: S301
    assert (tmp_path / "control").exists()
    file = io.BytesIO()
    np.savez(file, x=np.array([Pickled(spoilt)] * 60, dtype=object), y=np.arange(60) % 5)
    dataset = door.send_data(file.getvalue(), {"kind": "npz", "task": "classification", "label": "y"}, "data.npz")
    assert not dataset.ready
    assert dataset.refusal_code.startswith("dataset."), dataset.refusal_code
    assert not spoilt.exists()


@closed
def test_an_onnx_file_whose_weights_are_the_secret_key_gives_nothing_away(
    door: Door, aims: Aims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first check refuses it. Even a runtime that followed the path would find it shut."""
    model = graphs.perceptron()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", f"../../../../../../../..{aims['secret']}"), ("offset", "0"), ("length", "16")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    version = door.send_model(model.SerializeToString(), "model.onnx")
    assert not version.ready
    assert Path(aims["secret"]).read_text()[:8] not in version.refusal


def test_the_limits_of_a_check_are_those_of_steps() -> None:
    """A parser that never ends is stopped in a check, too."""
    limits = inspection._limits()
    assert limits.time_s == inspection.TIME_LIMIT_S
    assert limits.file_bytes == configured.LATHE.largest_step_file_bytes
