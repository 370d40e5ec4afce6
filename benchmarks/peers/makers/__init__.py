"""One module for each way of making a model faster. Each runs in a process of its own: `python -m … JOB.json`.

The peers' modules import nothing of Lathe, so that they run in environments that have nothing but the peer.
"""
