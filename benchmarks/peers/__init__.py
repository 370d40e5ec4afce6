"""Lathe beside its peers: the same models and data, the same limit, everything measured in one process.

`python -m benchmarks.peers` gives every model to Lathe, as a session of a portal of its own, and to each peer, in a
process of its own. What they make is then measured together. Results are kept in build/peers, and `--write` makes
docs/peers.md of all that are there.
"""
