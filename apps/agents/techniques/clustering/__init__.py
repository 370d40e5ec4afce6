"""Weight clustering, the same for every framework: the weights of a tensor share a few values.

`k_means` finds the values, `agent` is the base class of the techniques, and a backend finds the tensors and writes the
model. `specs` declares the techniques. All but the specs need numpy and are imported in child processes only.
"""
