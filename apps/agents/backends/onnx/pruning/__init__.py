"""Structured pruning of ONNX graphs without training: channels are cut, and the layers behind them fitted again.

`channels` knows which channels stand or fall together, `rules` and `tracing` find that out from a graph, `groups` says
what can be cut and what not. `statistics` looks at activations, `selection` ranks channels, `allocation` shares out the
target, `surgery` cuts, `compensation` fits what is left by least squares. `agent` puts them in order.
"""
