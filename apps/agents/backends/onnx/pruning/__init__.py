"""Structured pruning of ONNX graphs without training: channels are cut, and the layers behind them fitted again.

What is the same for every framework stands in `apps.agents.techniques.channel_pruning`. Here `rules` and `tracing`
follow channels through a graph, `statistics` looks at activations, `sensitivity` at outputs, `plan` chooses what goes,
`surgery` cuts, `compensation` fits what is left by least squares. `agent` puts them in order.
"""
