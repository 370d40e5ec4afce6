"""Search for the architecture of a smaller network: what may be chosen, how fast each choice is, and which to try next.

`agent` is the entry point. A backend finds the space of a model, trains its supernet, times operators and scores
sub-networks; this package needs no framework.
"""
