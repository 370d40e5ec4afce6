"""Structured pruning of ONNX graphs without training: channels are cut, and the layers after them fitted again.

What is the same for every framework is in `apps.agents.techniques.channel_pruning`. Here `rules` and `tracing` follow
channels through a graph, `statistics` measures activations, `sensitivity` the output, `plan` chooses what is removed,
`surgery` cuts, and `compensation` fits the remaining weights by least squares. `agent` combines these steps.
"""
