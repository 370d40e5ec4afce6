"""SavedModels whose saver reads or writes other files than their own: each is refused, and nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2, variable_pb2

from tests.tensorflow import uploads
from tests.tensorflow.hostile_graphs import Meta, altered, refused


def constant(name: str, value: Any) -> Any:
    node = node_def_pb2.NodeDef(name=name, op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    node.attr["dtype"].type = node.attr["value"].tensor.dtype
    return node


def add_writing(meta: Meta, mark: Path) -> str:
    """An operator in the graph that writes a checkpoint to the mark; its name."""
    meta.graph_def.node.extend(
        [constant("sly/prefix", str(mark)), constant("sly/names", ["x"]), constant("sly/slices", [""])]
    )
    meta.graph_def.node.append(constant("sly/x", np.ones(2, np.float32)))
    node = node_def_pb2.NodeDef(name="sly/save", op="SaveV2")
    node.input.extend(["sly/prefix", "sly/names", "sly/slices", "sly/x"])
    node.attr["dtypes"].list.type.append(1)
    meta.graph_def.node.append(node)
    return str(node.name)


def node_named(meta: Meta, name: str) -> Any:
    return next(node for node in meta.graph_def.node if node.name == name.partition(":")[0])


def before_restoring(meta: Meta, mark: Path) -> None:
    name = add_writing(meta, mark)
    node_named(meta, meta.saver_def.restore_op_name).input.append(f"^{name}")


def as_main_operator(meta: Meta, mark: Path) -> None:
    name = add_writing(meta, mark)
    node_named(meta, meta.saver_def.save_tensor_name).input.append(f"^{name}")
    meta.collection_def["saved_model_main_op"].node_list.value.append(name)


def as_initializer(meta: Meta, mark: Path) -> None:
    name = add_writing(meta, mark)
    node_named(meta, meta.saver_def.save_tensor_name).input.append(f"^{name}")
    held = variable_pb2.VariableDef(variable_name="sly/x:0", initializer_name=name, trainable=True)
    meta.collection_def["local_variables"].bytes_list.value.append(held.SerializeToString())


def from_elsewhere(meta: Meta, mark: Path) -> None:
    meta.graph_def.node.append(constant("sly/prefix", str(mark)))
    for node in meta.graph_def.node:
        if node.op == "RestoreV2":
            node.input[0] = "sly/prefix"


def to_nothing(meta: Meta, mark: Path) -> None:
    """Nothing reaches it, which the loader does not promise."""
    add_writing(meta, mark)


@pytest.mark.parametrize("attack", [before_restoring, as_main_operator, as_initializer, from_elsewhere, to_nothing])
def test_a_saver_of_tensorflow_1_does_nothing_but_load(
    attack: Callable[[Meta, Path], None], tmp_path: Path, mark: Path
) -> None:
    folder = altered(uploads.of_tensorflow_1(tmp_path / "saved"), lambda meta: attack(meta, mark))
    refused(folder, tmp_path, "(SaveV2|RestoreV2)")
    assert not list(tmp_path.glob("mark*"))


@pytest.mark.parametrize("attack", [before_restoring, as_main_operator])
def test_the_attacks_on_the_saver_are_real(attack: Callable[[Meta, Path], None], tmp_path: Path) -> None:
    folder = altered(uploads.of_tensorflow_1(tmp_path / "saved"), lambda meta: attack(meta, tmp_path / "left"))
    tf.saved_model.load(str(folder), tags=["serve"])
    assert list(tmp_path.glob("left*"))


def saving_function(meta: Meta) -> Any:
    return next(one for one in meta.graph_def.library.function if any(node.op == "SaveV2" for node in one.node_def))


def in_the_object_graph(meta: Meta) -> None:
    found = next(node for node in meta.object_graph_def.nodes if node.HasField("function"))
    found.function.concrete_functions.append(saving_function(meta).signature.name)


def as_a_bare_function(meta: Meta) -> None:
    found = meta.object_graph_def.nodes.add()
    found.bare_concrete_function.concrete_function_name = saving_function(meta).signature.name


def called_as_an_operator(meta: Meta) -> None:
    served = set(meta.object_graph_def.concrete_functions)
    caller = next(one for one in meta.graph_def.library.function if one.signature.name in served)
    caller.node_def.add(name="sly", op=saving_function(meta).signature.name)


def in_place_of_another(meta: Meta) -> None:
    saving_function(meta).attr["api_implements"].s = b"harmless"


@pytest.mark.parametrize(
    "attack", [in_the_object_graph, as_a_bare_function, called_as_an_operator, in_place_of_another]
)
def test_functions_of_the_saver_are_not_called_by_others(attack: Callable[[Meta], None], tmp_path: Path) -> None:
    refused(
        altered(uploads.module(tmp_path / "saved"), attack), tmp_path, "(SaveV2|MergeV2Checkpoints|ShardedFilename)"
    )
