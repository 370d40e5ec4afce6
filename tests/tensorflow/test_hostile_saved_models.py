"""SavedModels that call without end, lead out of their folder or are damaged: each is refused with its reason."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from apps.agents.backends.tensorflow import saved_model_file
from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.backends.tensorflow.protobuf_parts import has_more_parts
from apps.agents.contracts.errors.archives import ArchivePathEscape
from apps.agents.contracts.errors.tensorflow_models import GraphOperatorsUnknown, SavedModelDamaged
from apps.errors import UserError
from tests.tensorflow import uploads
from tests.tensorflow.hostile_graphs import Meta, altered, refused, written

# --- calls without end ------------------------------------------------------------------------------------------------


def function_calling(name: str, called: list[str]) -> Any:
    made = graph_pb2.GraphDef().library.function.add()
    made.signature.name = name
    for place, inner in enumerate(called):
        node = made.node_def.add(name=f"call_{place}", op="PartitionedCall")
        node.attr["f"].func.name = inner
    return made


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    def circle(meta: Meta) -> None:
        meta.graph_def.library.function.extend([function_calling("a", ["b"]), function_calling("b", ["a"])])

    with pytest.raises(SavedModelDamaged, match="calls itself"):
        inspect(uploads.zipped(altered(uploads.module(tmp_path / "saved"), circle)), tmp_path)


def test_functions_that_call_each_other_into_billions_are_refused(tmp_path: Path) -> None:
    def bomb(meta: Meta) -> None:
        functions = [function_calling(f"f{depth}", [f"f{depth + 1}"] * 2) for depth in range(60)]
        meta.graph_def.library.function.extend([*functions, function_calling("f60", [])])

    with pytest.raises(SavedModelDamaged, match="more than 1,000,000"):
        inspect(uploads.zipped(altered(uploads.module(tmp_path / "saved"), bomb)), tmp_path)


def test_a_long_chain_of_calls_passes(tmp_path: Path) -> None:
    def chain(meta: Meta) -> None:
        functions = [function_calling(f"f{depth}", [f"f{depth + 1}"]) for depth in range(1200)]
        meta.graph_def.library.function.extend([*functions, function_calling("f1200", [])])

    assert inspect(uploads.zipped(altered(uploads.module(tmp_path / "saved"), chain)), tmp_path).outputs


# --- damage -----------------------------------------------------------------------------------------------------------


def unknown_operator(meta: Meta) -> None:
    meta.graph_def.node.add(name="sly", op="MyOperator")


def test_unknown_operators_are_named(tmp_path: Path) -> None:
    folder = altered(uploads.module(tmp_path / "saved"), unknown_operator)
    with pytest.raises(GraphOperatorsUnknown, match="MyOperator"):
        inspect(uploads.zipped(folder), tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "a/b"])
@pytest.mark.parametrize("version", [1, 2])
def test_an_asset_outside_of_its_folder_is_refused(name: str, version: int, tmp_path: Path) -> None:
    def point(meta: Meta) -> None:
        if version == 2:
            meta.asset_file_def.add(filename=name)
        else:
            held = meta.collection_def["saved_model_assets"].any_list.value.add()
            held.Pack(type(meta.asset_file_def.add())(filename=name))
            del meta.asset_file_def[:]

    folder = altered(uploads.module(tmp_path / "saved"), point)
    with pytest.raises(SavedModelDamaged, match="outside"):
        inspect(uploads.zipped(folder), tmp_path)


def test_a_list_of_assets_that_is_none_is_refused(tmp_path: Path) -> None:
    def garble(meta: Meta) -> None:
        meta.collection_def["saved_model_assets"].any_list.value.add().value = b"\xff\xff"

    with pytest.raises(SavedModelDamaged, match="assets"):
        inspect(uploads.zipped(altered(uploads.module(tmp_path / "saved"), garble)), tmp_path)


def twice(meta: Meta) -> None:
    meta.graph_def.node.append(meta.graph_def.node[0])


def many_axes(meta: Meta) -> None:
    shape = meta.signature_def["scale"].inputs["x"].tensor_shape
    for _ in range(300):
        shape.dim.add(size=1 << 62)


def unknown_type(meta: Meta) -> None:
    meta.signature_def["scale"].inputs["x"].dtype = 9999


@pytest.mark.parametrize("change", [twice, many_axes, unknown_type])
def test_what_makes_no_sense_is_refused(change: Callable[[Meta], None], tmp_path: Path) -> None:
    with pytest.raises(SavedModelDamaged):
        inspect(uploads.zipped(altered(uploads.module(tmp_path / "saved"), change)), tmp_path)


def test_every_graph_of_the_file_is_judged(tmp_path: Path, mark: Path) -> None:
    """A second graph under the same tags could be the one that is loaded."""
    folder, hostile = uploads.module(tmp_path / "saved"), tmp_path / "hostile"
    uploads.function(hostile, lambda x: written(x, str(mark)))
    second = saved_model_pb2.SavedModel.FromString((hostile / "saved_model.pb").read_bytes())
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    model.meta_graphs.append(second.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    refused(folder, tmp_path, "WriteFile")


def test_an_archive_that_escapes_is_refused(tmp_path: Path, mark: Path) -> None:
    archive = uploads.zipped(uploads.module(tmp_path / "saved"))
    with zipfile.ZipFile(archive, "a") as added:
        added.writestr("../mark", b"")
    with pytest.raises(ArchivePathEscape):
        inspect(archive, tmp_path)


def test_a_protobuf_of_countless_empty_parts_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crowd(meta: Meta) -> None:
        for _ in range(20_000):
            meta.graph_def.node.add()

    folder = altered(uploads.module(tmp_path / "saved"), crowd)
    monkeypatch.setattr(saved_model_file, "_COUNTED_FROM_BYTES", 0)
    monkeypatch.setattr(saved_model_file, "MOST_PARTS", 15_000)
    with pytest.raises(SavedModelDamaged, match="more than 15,000 parts"):
        inspect(uploads.zipped(folder), tmp_path)


def test_parts_are_counted_as_the_parser_finds_them(tmp_path: Path) -> None:
    content = (uploads.of_tensorflow_1(tmp_path / "saved") / "saved_model.pb").read_bytes()
    kind = saved_model_pb2.SavedModel.DESCRIPTOR
    fewest = next(most for most in range(100_000) if not has_more_parts(content, kind, most))
    assert len(saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def.node) < fewest < len(content)
    assert not has_more_parts(b"\xff" * 30, kind, 5)
    assert not has_more_parts(b"\x0b", kind, 5)


def test_a_protobuf_cut_off_or_flipped_never_raises_anything_but_refusals(tmp_path: Path) -> None:
    folder = uploads.of_tensorflow_1(tmp_path / "saved")
    content, chance, caught = (folder / "saved_model.pb").read_bytes(), np.random.default_rng(0), 0
    for _ in range(400):
        damaged = bytearray(content[: int(chance.integers(1, len(content)))] if chance.random() < 0.2 else content)
        for _ in range(int(chance.integers(1, 8))):
            damaged[int(chance.integers(len(damaged)))] = int(chance.integers(256))
        (folder / "saved_model.pb").write_bytes(bytes(damaged))
        try:
            inspect(uploads.zipped(folder), tmp_path)
        except UserError:
            caught += 1
        for scratch in tmp_path.glob("model-*"):
            shutil.rmtree(scratch)
    assert caught > 100
