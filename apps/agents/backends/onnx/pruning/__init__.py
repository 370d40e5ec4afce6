"""Structured pruning of ONNX graphs without training: channels are cut, and the layers after them fitted again.

What is the same for every framework is in `apps.agents.techniques.channel_pruning`. Here `rules` and `tracing` follow
channels through a graph, `measuring` measures what layers read and what the output loses, `surgery` cuts, and
`compensation` fits the remaining weights by least squares in the `fitting_order`. `agent` combines these steps.
"""
