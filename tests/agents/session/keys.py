"""Keys of the steps that candidates share, in sessions on the worlds of `tests.agents.inmemory`."""

from __future__ import annotations

from apps.agents.contracts.chain import prefix_key
from apps.agents.session.steps import analyse_key
from apps.agents.techniques.catalogue import catalogue


def shared_key(*techniques: str) -> str:
    """The key of what these techniques make one after the other, each with its defaults."""
    return prefix_key((name, catalogue()[name].resolve({})) for name in techniques)


EXPORTED = shared_key("onnx-export")
EXPORT_ANALYSED = analyse_key(EXPORTED)
PREPARED = shared_key("onnx-graph")
EXPORTED_AND_PREPARED = shared_key("onnx-export", "onnx-graph")
