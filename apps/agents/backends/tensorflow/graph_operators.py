"""Operators that do not belong in a network: they access files, run Python, communicate, or feed data.

Operators are judged by their names, because families of operators share parts of their names. A test covers every
operator that TensorFlow registers. The operators of a SavedModel's own saver are listed separately.
"""

from __future__ import annotations

import re
from typing import Any

_FILES, _VOCABULARY, _ENDS = "reads or writes files", "reads a vocabulary from a file", "ends or halts the process"
_PYTHON, _OTHERS, _FEEDS = "runs Python", "talks to other processes", "feeds data"
_PROGRAM = "runs a compiled program that is not looked into"
_REASONS: tuple[tuple[str, str], ...] = (
    (r"PyFunc|_EagerConst|NumpyFunction", _PYTHON),
    (r"TextFile|GenerateVocabRemapping", _VOCABULARY),
    (
        r"ReadFile|WriteFile|MatchingFiles|FileSystem|Reader|LMDB|Lmdb|Record|Snapshot|Sql|CSV|ImmutableConst|"
        r"LoadAndRemap|Skipgram|SummaryWriter|SummaryDb|SummaryFile|^Write\w*Summary|ImportEvent|"
        r"CalibrationStatistics|CustomAggregator|DistributedSave|DTensorRestore|DumpTensor",
        _FILES,
    ),
    (
        r"^Debug|^_?Host(Send|Recv)|^_?(Send|Recv)$|Rpc|RemoteCall|^Xla(Send|Recv)$|WorkerHeartbeat|Nccl|^Collective|DataService|TPU|Tpu|"
        r"XlaHostCompute|XlaSendToHost|XlaRecvFromHost|_XlaSendFromHost|_XlaRecvAtHost",
        _OTHERS,
    ),
    (r"XlaCustomCall|MlirPassthrough", _PROGRAM),
    (r"^Abort$|^Sleep", _ENDS),
    (r"Dataset|Iterator", _FEEDS),
)
"""The first pattern found in an operator's name decides."""
_ADVICE = {
    _FILES: "Remove reading and writing from the exported model, and pass it the numbers instead",
    _VOCABULARY: (
        "Store the vocabulary in the graph: build the layer or table from a list, such as "
        "StringLookup(vocabulary=[…]) or tf.lookup.KeyValueTensorInitializer, and export again"
    ),
    _PYTHON: "Its code is not in the file: write it with operators of TensorFlow",
    _OTHERS: "Export the model for one process, without debugging and distribution",
    _PROGRAM: "Export it as operators of TensorFlow",
    _ENDS: "Remove it and export again",
    _FEEDS: "Export only the network, without its tf.data pipeline",
}
_PLACEHOLDER = "placeholder"
"""An attribute in a function's body that each caller sets."""
_STREAMS = frozenset((b"", b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)"))
_ARGUMENTS: dict[str, tuple[str, str]] = {
    "PrintV2": ("output_stream", _FILES),
    "DecodeProtoV2": ("descriptor_source", _FILES),
    "EncodeProto": ("descriptor_source", _FILES),
    "FixedUnigramCandidateSampler": ("vocab_file", _VOCABULARY),
    "XlaCallModule": ("module", _PROGRAM),
}
"""Operators for which one attribute decides whether they are harmless, and what they do otherwise."""
CHECKPOINT_REASON = _FILES
CHECKPOINTS = frozenset(
    (
        *("Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "RestoreSlice"),
        *("MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"),
    )
)
"""Operators of a SavedModel's saver. Anywhere else they read or write files."""
RESTORING = frozenset(("Restore", "RestoreV2", "RestoreSlice"))
PLUMBING = frozenset(
    (
        *("Const", "Identity", "IdentityN", "NoOp", "Placeholder", "PlaceholderWithDefault", "VarHandleOp"),
        *("ReadVariableOp", "PartitionedCall", "StatefulPartitionedCall", "Assert", "StopGradient", "VariableV2"),
        *("_Arg", "_Retval", "AssignVariableOp", "LegacyCall"),
    )
)
"""Operators that compute nothing."""


def reason_against_node(node: Any) -> str | None:
    """The reason against one node of a graph, which may depend on its attributes."""
    if node.op not in _ARGUMENTS:
        return reason_against(node.op)
    name, reason = _ARGUMENTS[node.op]
    if name not in node.attr:
        return None
    value = node.attr[name]
    return None if value.WhichOneof("value") != _PLACEHOLDER and _is_harmless(node.op, value.s) else reason


def _is_harmless(operator: str, value: bytes) -> bool:
    if operator == "PrintV2":
        return value in _STREAMS
    if operator == "XlaCallModule":
        return b"custom_call" not in value  # Its strings are stored in plain text; such calls run code of the process.
    return not value or (operator != "FixedUnigramCandidateSampler" and value.startswith((b"local://", b"bytes://")))


def advice(reason: str) -> str:
    """What to do if a graph is refused for this `reason`, as a sentence without its full stop."""
    return _ADVICE[reason]


def reason_against(operator: str) -> str | None:
    """What an operator does that a network must not, as the end of a sentence; `None` for a harmless operator."""
    return next((reason for pattern, reason in _REASONS if re.search(pattern, operator)), None)
