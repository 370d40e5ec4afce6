"""PyTorch uploads that two readers would take for different things, or whose texts would become code."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.agents.backends.torch import configuration
from apps.agents.backends.torch.exported_checks import is_operator
from apps.agents.backends.torch.inspection import inspect
from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.errors.models import ModelTooLarge
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.errors.torch_models import (
    ConfigurationInvalid,
    ProgramCode,
    RemoteCode,
    ScriptTouchesFiles,
    TokenizerBroken,
)
from apps.agents.files.archives import unpack
from apps.agents.files.sniffing import FileKind, code_members, sniff
from tests.agents.torch_uploads import (
    convolutional,
    described_zip,
    exported_file,
    folder_zip,
    llama_folder,
    scripted_file,
    word_tokenizer,
)

PICTURES = torch.randn((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
Program = dict[str, Any]


@pytest.fixture
def mark(tmp_path: Path) -> Any:
    """A file that must not be there in the end."""
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_file(tmp_path_factory.mktemp("exported") / "model")


def leaving(mark: Path) -> str:
    """An expression in Python that leaves the mark."""
    return f"open({str(mark)!r}, 'w')"


def altered(
    source: Path,
    target: Path,
    change: Callable[[Program], object] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """`source` with its program changed and `files` put in, by their names in its root folder; `target`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        added = {f"{root}/{name}": content for name, content in (files or {}).items()}
        for info in old.infolist():
            content = old.read(info)
            if change and info.filename.endswith("models/model.json"):
                program = json.loads(content)
                change(program)
                content = json.dumps(program).encode()
            if info.filename not in added:
                new.writestr(info.filename, content)
        for name, content in added.items():
            new.writestr(name, content)
    return target


def signatures(program: Program) -> list[dict[str, Any]]:
    return [entry["signature"] for entry in program["graph_module"]["module_call_graph"] if entry["signature"]]


def node(target: str, **argument: Any) -> dict[str, Any]:
    given = {"name": "", "arg": argument, "kind": 1}
    return {"target": target, "inputs": [given], "outputs": [], "metadata": {}, "name": "added"}


def insert(program: Program, added: dict[str, Any]) -> None:
    program["graph_module"]["graph"]["nodes"].insert(0, added)


def in_a_graph(added: dict[str, Any]) -> dict[str, Any]:
    graph = {"inputs": [], "outputs": [], "nodes": [added], "tensor_values": {}}
    return node("torch.ops.higher_order.cond", as_graph={"name": "inner", "graph": graph})


def renamed_input(program: Program, name: str) -> None:
    text = json.dumps(program).replace('"x"', json.dumps(name))
    program.clear()
    program.update(json.loads(text))


# --- exported programs -----------------------------------------------------------------------------------------------

SYSTEM = "torch.serialization.os.system"
IMPORTING = {
    "an enumeration": {"type": "builtins.tuple", "context": {"__enum__": 1, "fqn": "this:s", "name": "s"}},
    "a factory": {"type": "collections.defaultdict", "context": {"default_factory_module": "this"}},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda program: renamed_input(program, "x=print()"), "a name in it"),
        (lambda program: [s.update(forward_arg_names=["x=print()"]) for s in signatures(program)], "a name in it"),
        (lambda program: insert(program, node(SYSTEM, as_string="true")), "it calls torch.serialization"),
        (lambda program: insert(program, in_a_graph(node(SYSTEM, as_string="true"))), "it calls torch.serialization"),
        (lambda program: insert(program, node("torch.ops.aten.relu.default", as_operator=SYSTEM)), "it calls torch.s"),
        (lambda program: insert(program, node("torch.ops.higher_order.wrap", as_int=1)), r"higher_order\.wrap"),
        (
            lambda program: insert(
                program, {**node("torch.ops.aten.relu.default"), "metadata": {"nn_module_stack": 'L,a");print("'}}
            ),
            "nn_module_stack",
        ),
        *(
            (
                lambda program, spec=spec: [
                    s.update(out_spec=json.dumps([1, spec | {"children_spec": []}])) for s in signatures(program)
                ],
                "its out_spec is",
            )
            for spec in IMPORTING.values()
        ),
    ],
    ids=["input", "argument", "target", "inner target", "operator", "caller", "module", *IMPORTING],
)
def test_no_text_of_a_program_becomes_code(
    change: Callable[[Program], object], said: str, exported: Path, tmp_path: Path
) -> None:
    path = altered(exported, tmp_path / "model.pt2", change)
    for opened in (inspect, load_model):
        with pytest.raises(ProgramCode, match=said):
            opened(path, tmp_path)


def test_conditions_that_pytorch_would_compile_are_left_behind(exported: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = altered(exported, tmp_path / "model.pt2", lambda program: program.update(guards_code=[leaving(mark)]))
    model = load_model(path, tmp_path)
    torch.testing.assert_close(model.module(PICTURES), convolutional()(PICTURES))
    assert not mark.exists()
    torch.export.load(path).module()(PICTURES)
    assert mark.exists()  # So it would have run.


class Attack:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, (str(self.mark), "w"))


def checkpoint(content: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def named_otherwise(stored: bytes) -> bytes:
    """A checkpoint whose pickle only a reader finds that does not heed the case of names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as old, zipfile.ZipFile(stream, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename.replace("data.pkl", "DATA.PKL"), old.read(info))
    return stream.getvalue()


def with_a_zip_behind(stored: bytes) -> bytes:
    """A pickle to who reads it from the front, and a harmless zip to who looks at its end."""
    stream = io.BytesIO(stored)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("harmless", "")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "disguised"),
    [
        ("data/sample_inputs/model.pt", named_otherwise),
        ("data/sample_inputs/model.pt", with_a_zip_behind),
        ("data/Sample_inputs/model.pt", bytes),
        ("data/weights/model.pt", bytes),
        ("data/constants/model.pt", bytes),
    ],
    ids=["case of the pickle", "two formats", "case of the folder", "old weights", "old constants"],
)
def test_what_is_not_checked_is_not_loaded(
    name: str,
    disguised: Callable[[bytes], bytes],
    exported: Path,
    tmp_path: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD")  # It has to hold without this net below.
    stored = checkpoint({"x": Attack(mark)}, _use_new_zipfile_serialization=disguised is not with_a_zip_behind)
    path = altered(exported, tmp_path / "model.pt2", files={name: disguised(stored)})
    model = load_model(path, tmp_path)
    torch.testing.assert_close(model.module(PICTURES), convolutional()(PICTURES))


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.__init__.__globals__",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save",
        "math.__loader__",
    ],
)
def test_only_operators_are_operators(target: str) -> None:
    assert not is_operator(target)


def test_a_program_that_branches_is_taken(tmp_path: Path) -> None:
    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))  # type: ignore[no-any-return]

    torch.export.save(torch.export.export(Branching(), (torch.ones(2, 3),)), tmp_path / "model.pt2")
    assert inspect(tmp_path / "model.pt2", tmp_path).operators["higher_order.cond"] == 1
    model = load_model(tmp_path / "model.pt2", tmp_path)
    torch.testing.assert_close(model.module(-torch.ones(2, 3)), -2 * torch.ones(2, 3))


# --- TorchScript -----------------------------------------------------------------------------------------------------


def rewritten(tmp_path: Path, statement: str, folder: str = "code") -> Path:
    """A script that does `statement` first, its code in `folder`."""
    source = scripted_file(tmp_path / "source.pt")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "model.pt", "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith("torch_models.py"):
                head, tail = content.decode().split("-> Tensor:\n", 1)
                content = f"{head}-> Tensor:\n    {statement}\n{tail}".encode()
            new.writestr(info.filename.replace("/code/", f"/{folder}/"), content)
    return tmp_path / "model.pt"


@pytest.mark.parametrize(
    "statement",
    [
        "ops.aten.save(1, PLACE)",
        "ops . aten . save(1, PLACE)",
        "(ops.aten. # nothing\n save(1, PLACE))",
        "ops.aten.\\\n save(1, PLACE)",
        "(torch).save(1, PLACE)",
        "t = torch\n    t.save(1, PLACE)",
        "f = ops.aten.save\n    f(1, PLACE)",
    ],
)
@pytest.mark.parametrize("folder", ["code", "Code"])
def test_a_script_that_writes_a_file_is_refused_however_it_is_spelled(
    statement: str, folder: str, tmp_path: Path, mark: Path
) -> None:
    path = rewritten(tmp_path, statement.replace("PLACE", f'"{mark}"'), folder)
    for opened in (inspect, load_model):
        with pytest.raises(ScriptTouchesFiles, match="save"):
            opened(path, tmp_path)


def test_a_script_whose_code_may_stand_anywhere_is_refused(tmp_path: Path) -> None:
    path = rewritten(tmp_path, "pass")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/Model.json", "{}")
    with pytest.raises(ModelNotLoadable, match="very old"):
        inspect(path, tmp_path)


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_number_repeated_without_end_is_too_large(tmp_path: Path) -> None:
    endless = checkpoint({"w": torch.zeros(1).expand(2**30, 2**30), "v": torch.zeros(1).expand(2**62)})
    code = """import torch
class Endless(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.zeros(1).expand(2**30, 2**30))
        self.register_buffer("v", torch.zeros(1).expand(2**62))
    def forward(self, x):
        return x
def build(classes):
    return Endless()
"""
    with pytest.raises(ModelTooLarge):
        inspect(described_zip(tmp_path / "model.zip", {"weights.pt": endless, "model.py": code}), tmp_path)


# --- transformers folders --------------------------------------------------------------------------------------------


def folder_with(tmp_path: Path, file: str, change: Mapping[str, Any]) -> Path:
    """A folder with other values in one of its JSON files, zipped."""
    folder = word_tokenizer(llama_folder(tmp_path / "files"))
    settings = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**settings, **change}))
    return folder_zip(folder, tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"configuration_files": ["../../config.4.0.0.json"]}, "configuration_files names other files"),
        ({"transformers_weights": "other.safetensors"}, "transformers_weights names other files"),
        ({"architectures": 5}, "not a list of names"),
        ({"architectures": {"a": 1}}, "not a list of names"),
        ({"quantization_config": 5}, "not have a known form"),
        ({"quantization_config": ["gptq"]}, "not have a known form"),
        ({"quantization_config": {"quant_method": "gptq", "bits": "x"}}, "not have a known form"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 0}}, "declares 0 bits"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"a": 5}}}, "known form"),
    ],
)
def test_a_configuration_means_one_thing_or_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = folder_with(tmp_path, "config.json", change)
    for opened in (inspect, load_model):
        with pytest.raises(ConfigurationInvalid, match=said):
            opened(path, tmp_path)


def test_a_mapping_to_code_is_refused_whatever_it_is(tmp_path: Path) -> None:
    with pytest.raises(RemoteCode, match=r"mapping \(5\)"):
        inspect(folder_with(tmp_path, "config.json", {"auto_map": 5}), tmp_path)


def test_a_model_of_more_layers_than_any_has_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "MOST_MODULES", 1000)
    path = folder_with(tmp_path, "config.json", {"num_hidden_layers": 10**9})
    with pytest.raises(ConfigurationInvalid, match="more than 1,000 modules"):
        inspect(path, tmp_path)


@pytest.mark.parametrize("length", ["x", float("inf"), -5])
def test_a_tokenizer_of_no_length_is_refused(length: object, tmp_path: Path) -> None:
    with pytest.raises(TokenizerBroken):
        inspect(folder_with(tmp_path, "tokenizer_config.json", {"model_max_length": length}), tmp_path)


def test_code_of_a_tokenizer_is_not_run_and_the_sentence_names_no_place_of_ours(tmp_path: Path, mark: Path) -> None:
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    path = folder_with(tmp_path, "tokenizer_config.json", own)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("own.py", leaving(mark))
    with pytest.raises(TokenizerBroken, match="custom code") as refused:
        inspect(path, tmp_path)
    assert str(tmp_path) not in str(refused.value)


# --- names in archives -----------------------------------------------------------------------------------------------


def zip_of(path: Path, *names: str) -> Path:
    """Files of these very names: `writestr` would tidy some of them up."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo()
            info.filename = info.orig_filename = name
            archive.writestr(info, b"")
    return path


@pytest.mark.parametrize("name", ["model.py/.", "model.py\\", "model.py\\.", "model.py//.", "./model.py", "a/MODEL.PY"])
def test_what_unpacks_to_code_is_seen_to_be_code(name: str, tmp_path: Path) -> None:
    path = zip_of(tmp_path / "model.zip", "lathe.toml", "weights.pt", name)
    files = [file.relative_to(tmp_path / "out").as_posix() for file in unpack(path, tmp_path / "out")]
    code = [file for file in files if file.lower().endswith(".py")]
    assert code
    assert code_members(path, sniff(path)) == code


@pytest.mark.parametrize("name", ["lathe.toml/.", "lathe.toml\\", "model/lathe.toml/."])
def test_a_file_is_of_the_kind_that_it_unpacks_to(name: str, tmp_path: Path) -> None:
    path = zip_of(tmp_path / "model.zip", "config.json", "model.safetensors", name)
    assert sniff(path) is FileKind.STATE_DICT_ZIP


def test_many_configurations_do_not_hold_up_the_one_who_looks(tmp_path: Path) -> None:
    """Each beside each other file took minutes."""
    names = [f"{number}/config.json" for number in range(30_000)]
    assert sniff(zip_of(tmp_path / "model.zip", *names)) is FileKind.ZIP
    assert sniff(zip_of(tmp_path / "other.zip", *names, "7/model.safetensors")) is FileKind.TRANSFORMERS_ZIP
