"""Low-rank decomposition of ONNX graphs without training.

The factors and the choice of ranks are in `apps.agents.techniques.decomposition`. Here `layers` finds what can be
replaced, `inputs` measures how a layer's inputs vary together, `timing` times a layer beside its factors, `measuring`
measures the output's noise, `surgery` rewrites the graph, and `refit` fits last factors. `agent` combines these steps.
"""
