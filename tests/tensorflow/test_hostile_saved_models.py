"""SavedModels made to touch files, run code or never end: each is refused before it is loaded, and nothing runs."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2, op_def_pb2, variable_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from apps.agents.backends.tensorflow import saved_model_file
from apps.agents.backends.tensorflow.graph_operators import CHECKPOINTS, reason_against, reason_against_node
from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.backends.tensorflow.protobuf_parts import has_more_parts
from apps.agents.errors import (
    ArchivePathEscape,
    GraphOperatorsUnknown,
    GraphTouchesFiles,
    SavedModelDamaged,
)
from apps.errors import UserError
from tests.tensorflow import uploads

Meta = Any


def altered(folder: Path, change: Callable[[Meta], object]) -> Path:
    """The SavedModel in `folder` with its meta graph changed in place."""
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())
    return folder


def refused(folder: Path, tmp_path: Path, operator: str) -> str:
    """The sentence by which the zipped folder is refused."""
    with pytest.raises(GraphTouchesFiles, match=rf"operator {operator} ") as caught:
        inspect(uploads.zipped(folder), tmp_path)
    return caught.value.message


# --- operators --------------------------------------------------------------------------------------------------------


def text_table(x: Any, place: str) -> Any:
    table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(place, tf.string, 0, tf.int64, 1), -1)
    return table.lookup(tf.strings.as_string(x))


def pipeline(x: Any, place: str) -> Any:
    return next(iter(tf.data.TextLineDataset(place).batch(1)))


def python(x: Any, place: str) -> Any:
    return tf.py_function(lambda y: (open(place, "w"), y)[1], [x], tf.float32)


def numpy(x: Any, place: str) -> Any:
    return tf.numpy_function(lambda y: (open(place, "w"), y)[1], [x], tf.float32)


def printed(x: Any, place: str) -> Any:
    with tf.control_dependencies([tf.print(x, output_stream=f"file://{place}")]):
        return tf.identity(x)


def written(x: Any, place: str) -> Any:
    with tf.control_dependencies([tf.io.write_file(place, tf.strings.as_string(x)[0])]):
        return tf.identity(x)


def checkpoint_written(x: Any, place: str) -> Any:
    operation = tf.raw_ops.SaveV2(prefix=place, tensor_names=["x"], shape_and_slices=[""], tensors=[x])
    with tf.control_dependencies([operation]):
        return tf.identity(x)


def described_elsewhere(x: Any, place: str) -> Any:
    return tf.io.decode_proto(tf.strings.as_string(x), "m", ["f"], [tf.string], descriptor_source=place)[0]


def sampled(x: Any, place: str) -> Any:
    classes = tf.cast(x, tf.int64)[:, None]
    return tf.random.fixed_unigram_candidate_sampler(classes, 1, 1, True, 4, vocab_file=place)[0]


def restored(x: Any, place: str) -> Any:
    return tf.raw_ops.RestoreV2(prefix=place, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])[0]


ATTACKS: dict[str, Callable[[Any, str], Any]] = {
    "ReadFile": lambda x, place: tf.io.read_file(place),
    "WriteFile": written,
    "MatchingFiles": lambda x, place: tf.io.matching_files(place),
    "EagerPyFunc": python,
    "PyFunc": numpy,
    "PrintV2": printed,
    "SaveV2": checkpoint_written,
    "RestoreV2": restored,
    "DecodeProtoV2": described_elsewhere,
    "FixedUnigramCandidateSampler": sampled,
    "ImmutableConst": lambda x, place: tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=place),
    "WholeFileReaderV2": lambda x, place: tf.raw_ops.ReaderNumRecordsProducedV2(
        reader_handle=tf.raw_ops.WholeFileReaderV2()
    ),
    "LoadAndRemapMatrix": lambda x, place: tf.raw_ops.LoadAndRemapMatrix(
        ckpt_path=place,
        old_tensor_name="x",
        row_remapping=tf.constant([0], tf.int64),
        col_remapping=tf.constant([0], tf.int64),
        initializing_values=[0.0],
        num_rows=1,
        num_cols=1,
    ),
}


def in_a_function(body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return tf.function(tf.function(body, autograph=False), autograph=False)


def in_a_branch(body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: tf.cond(tf.size(x) > 3, lambda: tf.size(body(x)), lambda: 0)


def in_a_loop(body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: tf.while_loop(lambda i: i < 3, lambda i: i + tf.size(body(x)), [0])[0]


def in_a_loops_condition(body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: tf.while_loop(lambda i: i < tf.size(body(x)), lambda i: i + 1, [0])[0]


def plainly(body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return body


@pytest.mark.parametrize("operator", ATTACKS)
@pytest.mark.parametrize("hide", [plainly, in_a_function, in_a_branch, in_a_loop, in_a_loops_condition])
def test_an_operator_that_touches_files_is_refused_wherever_it_stands(
    operator: str, hide: Callable[[Any], Any], tmp_path: Path, mark: Path
) -> None:
    folder = uploads.function(tmp_path / "saved", hide(lambda x: ATTACKS[operator](x, str(mark))))
    sentence = refused(folder, tmp_path, operator)
    assert sentence.endswith(".")


def test_an_operator_that_ends_the_process_is_refused(tmp_path: Path) -> None:
    def ended(x: Any) -> Any:
        with tf.control_dependencies([tf.raw_ops.Abort(error_msg="stopped")]):
            return tf.identity(x)

    assert "ends or halts" in refused(uploads.function(tmp_path / "saved", ended), tmp_path, "Abort")


@pytest.mark.parametrize("operator", ["WriteFile", "SaveV2"])
def test_the_attacks_are_real(operator: str, tmp_path: Path) -> None:
    place = tmp_path / "left"
    folder = uploads.function(tmp_path / "saved", lambda x: ATTACKS[operator](x, str(place)))
    tf.saved_model.load(str(folder)).signatures["serving_default"](tf.ones([2]))
    assert list(tmp_path.glob("left*"))


def test_a_vocabulary_in_an_asset_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("cat\ndog\n")

    class Table(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            words, whole, line = str(tmp_path / "words.txt"), tf.lookup.TextFileIndex.WHOLE_LINE, -1
            initializer = tf.lookup.TextFileInitializer(words, tf.string, whole, tf.int64, line)
            self.table = tf.lookup.StaticHashTable(initializer, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def run(self, word: Any) -> Any:
            return self.table.lookup(word)

    made = Table()
    tf.saved_model.save(made, str(tmp_path / "saved"), signatures=made.run)
    sentence = refused(tmp_path / "saved", tmp_path, "InitializeTableFromTextFileV2")
    assert "KeyValueTensorInitializer" in sentence


def test_a_data_pipeline_is_refused(tmp_path: Path) -> None:
    folder = uploads.function(tmp_path / "saved", lambda x: tf.data.Dataset.from_tensors(x).get_single_element())
    with pytest.raises(GraphTouchesFiles, match=r"tf\.data"):
        inspect(uploads.zipped(folder), tmp_path)


@pytest.mark.parametrize("stream", ["output_stream", "file"])
def test_an_attribute_that_callers_fill_does_not_hide_a_file(stream: str, tmp_path: Path, mark: Path) -> None:
    folder = uploads.function(tmp_path / "saved", lambda x: printed(x, str(mark)))

    def defer(meta: Meta) -> None:
        for function in meta.graph_def.library.function:
            for node in function.node_def:
                if node.op == "PrintV2":
                    node.attr["output_stream"].placeholder = stream

    refused(altered(folder, defer), tmp_path, "PrintV2")


def test_printing_to_the_log_is_harmless(tmp_path: Path) -> None:
    def told(x: Any) -> Any:
        with tf.control_dependencies([tf.print(x)]):
            return tf.identity(x)

    assert inspect(uploads.zipped(uploads.function(tmp_path / "saved", told)), tmp_path).outputs


@pytest.mark.parametrize(
    ("operator", "attribute", "value", "harmless"),
    [
        ("XlaCallModule", "module", b"ML\xefR...vhlo.add_v1...", True),
        ("XlaCallModule", "module", b"ML\xefR...vhlo.custom_call_v1...", False),
        ("DecodeProtoV2", "descriptor_source", b"local://", True),
        ("EncodeProto", "descriptor_source", b"/elsewhere", False),
        ("FixedUnigramCandidateSampler", "vocab_file", b"", True),
        ("PrintV2", "output_stream", b"log(info)", True),
        ("PrintV2", "output_stream", b"FILE:///elsewhere", False),
    ],
)
def test_some_operators_are_harmless_by_their_attributes(
    operator: str, attribute: str, value: bytes, harmless: bool
) -> None:
    node = node_def_pb2.NodeDef(op=operator)
    assert reason_against_node(node) is None
    node.attr[attribute].s = value
    assert (reason_against_node(node) is None) == harmless


# --- every operator that TensorFlow has -------------------------------------------------------------------------------

SUSPICIOUS = (
    r"file|disk|python|numpy_function|socket|dataset|iterator|rpc|remote|checkpoint|\bserver|directory|\bpath\b"
)
BESIDE = (
    r"```\s*python|https?://\S+|tensorflow\.python\.|\b(in|than|follows|matches|most|the|use|higher-level)\s+python3?\b"
)
"""Words of the documentation that say nothing of what an operator does: examples, links, comparisons."""
BY_ATTRIBUTE = "judged by its attribute"
BYTES = "takes or gives the bytes of a file as a tensor"
NEEDS_DATA = "needs a data set, and what makes one is refused"
EXCEPTIONS = {
    "EncodeProto": BY_ATTRIBUTE,
    "DecodeProtoV2": BY_ATTRIBUTE,
    "FixedUnigramCandidateSampler": BY_ATTRIBUTE,
    "DecodeImage": BYTES,
    "DecodeJxl": BYTES,
    "DecodeWav": BYTES,
    "DecodeWebP": BYTES,
    "EncodeWav": BYTES,
    "AudioSpectrogram": "tells how its pictures could be saved by others",
    "ComputeBatchSize": NEEDS_DATA,
    "GetElementAtIndex": NEEDS_DATA,
    "GetOptions": NEEDS_DATA,
    "ThreadPoolHandle": NEEDS_DATA,
    "ExperimentalThreadPoolHandle": NEEDS_DATA,
    "StatsAggregatorSummary": NEEDS_DATA,
    "ExperimentalStatsAggregatorSummary": NEEDS_DATA,
    "CompressElement": "works on tensors in memory",
    "UncompressElement": "works on tensors in memory",
    "MapDefun": "calls a function of the graph, which is judged itself",
    "Copy": "copies within memory; its specification only switches it off",
    "CopyHost": "copies within memory; its specification only switches it off",
    "MatrixSolveLs": "a fast path of an algorithm",
    "CTCBeamSearchDecoder": "a path through a lattice",
    "BoostedTreesExampleDebugOutputs": "a path through a tree",
}
"""Operators that speak of such things and are let through, and why."""


def operators() -> list[Any]:
    found = op_def_pb2.OpList()
    found.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return list(found.op)


def told_of(operator: Any) -> str:
    """Name, arguments and text of an operator, in words."""
    documented = getattr(getattr(tf.raw_ops, operator.name, None), "__doc__", "") or ""
    parts = [*operator.input_arg, *operator.output_arg, *operator.attr]
    words = [operator.name, operator.summary, operator.description, documented.partition("  Returns:")[0]]
    words += [f"{part.name} {part.description}" for part in parts]
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", " ".join(words))
    return re.sub(BESIDE, " ", spaced, flags=re.IGNORECASE)


def test_every_operator_that_speaks_of_files_python_or_others_is_refused_or_excepted() -> None:
    let_through = {
        one.name
        for one in operators()
        if re.search(SUSPICIOUS, told_of(one), re.IGNORECASE)
        and reason_against(one.name) is None
        and one.name not in CHECKPOINTS
    }
    assert let_through == set(EXCEPTIONS)


def test_every_operator_with_an_attribute_for_a_file_is_refused_or_judged_by_it() -> None:
    for one in operators():
        for attribute in one.attr:
            if re.search(r"file|path|descriptor_source|output_stream|memory_region", attribute.name):
                node = node_def_pb2.NodeDef(op=one.name)
                node.attr[attribute.name].s = b"/elsewhere"
                known = attribute.type != "string" or one.name in CHECKPOINTS
                assert known or reason_against_node(node), (one.name, attribute.name)


# --- the saver --------------------------------------------------------------------------------------------------------


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
