"""Structured pruning of Keras models without training: channels are cut, and the layers after them fitted again.

What is the same for every framework is in `apps.agents.techniques.channel_pruning`. Here `rules` and `tracing` follow
channels through a model, `measuring` measures what layers read and what the output loses, `surgery` builds the smaller
model, and `compensation` fits its layers by least squares on `rows` from `flow`. `agent` combines these steps.
"""
