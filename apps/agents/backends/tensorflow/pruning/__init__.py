"""Structured pruning of Keras models without training: channels are cut, and the layers behind them fitted again.

What is the same for every framework stands in `apps.agents.techniques.channel_pruning`. Here `rules` and `tracing`
follow channels through a model, `look` sees what layers read and what the output loses, `surgery` builds the smaller
model, `compensation` fits its layers by least squares on the `rows` that `flow` brings. `agent` puts them in order.
"""
