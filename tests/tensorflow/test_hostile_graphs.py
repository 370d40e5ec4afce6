"""SavedModels whose operators touch files or run code: each is refused before it is loaded, and nothing runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2, op_def_pb2
from tensorflow.python.client import pywrap_tf_session

from apps.agents.backends.tensorflow.graph_operators import CHECKPOINTS, reason_against, reason_against_node
from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.contracts.errors.tensorflow_models import GraphTouchesFiles
from tests.tensorflow import uploads
from tests.tensorflow.hostile_graphs import Meta, altered, refused, written

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
