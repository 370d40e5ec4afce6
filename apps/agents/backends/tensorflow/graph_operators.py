"""Operators that have no place in a network: they read or write files, run Python, talk to others, or feed data.

Names are judged, not descriptions: families of operators share parts of their names, and a test goes through every
operator that TensorFlow registers. What a SavedModel's own saver needs stands apart.
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
    _FILES: "Take reading and writing out of what is exported, and give the model the numbers instead",
    _VOCABULARY: (
        "Put the vocabulary into the graph: build the layer or table from a list, such as "
        "StringLookup(vocabulary=[…]) or tf.lookup.KeyValueTensorInitializer, and export again"
    ),
    _PYTHON: "Its code is not in the file: write it with operators of TensorFlow",
    _OTHERS: "Export the model for one process, without debugging and distribution",
    _PROGRAM: "Export it as operators of TensorFlow",
    _ENDS: "Take it out and export again",
    _FEEDS: "Export the network alone, without its tf.data pipeline",
}
_PLACEHOLDER = "placeholder"
"""An attribute in a function's body that each caller fills."""
_STREAMS = frozenset((b"", b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)"))
_ARGUMENTS: dict[str, tuple[str, str]] = {
    "PrintV2": ("output_stream", _FILES),
    "DecodeProtoV2": ("descriptor_source", _FILES),
    "EncodeProto": ("descriptor_source", _FILES),
    "FixedUnigramCandidateSampler": ("vocab_file", _VOCABULARY),
    "XlaCallModule": ("module", _PROGRAM),
}
"""Operators that are harmless or not by one of their attributes, and what they do where they are not."""
CHECKPOINT_REASON = _FILES
CHECKPOINTS = frozenset(
    (
        *("Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "RestoreSlice"),
        *("MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"),
    )
)
"""What a SavedModel's saver is made of; anywhere else they read or write files."""
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
    """The same of one node of a graph, which may be harmless or not by its attributes."""
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
        return b"custom_call" not in value  # Its texts stand in it as they are; calls reach for code of the process.
    return not value or (operator != "FixedUnigramCandidateSampler" and value.startswith((b"local://", b"bytes://")))


def advice(reason: str) -> str:
    """What somebody can do whose graph is refused for this `reason`, as a sentence without its full stop."""
    return _ADVICE[reason]


def reason_against(operator: str) -> str | None:
    """What an operator does that a network must not, as the end of a sentence; `None` for a harmless one."""
    return next((reason for pattern, reason in _REASONS if re.search(pattern, operator)), None)
