"""Low-rank decomposition of layers, the same for every framework: factors, their errors, and the choice of ranks.

`layer` describes a layer by its weight, `factors` is what replaces it, and `spatial`, `channel`, `tucker` and
`canonical` make the factors, weighted by how a layer's inputs vary together (`spread`). `options` lists what a layer
may become, `allocation` chooses one option for each layer under a budget for the whole model, and `choice` combines
these steps. `agent` is the base class of the techniques. A backend measures inputs, time and the output's noise, and
rewrites its models. `parameters` is what the specs declare. All else needs numpy and is imported in child processes
only.
"""
