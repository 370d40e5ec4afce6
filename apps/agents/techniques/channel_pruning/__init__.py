"""The parts of structured pruning that are the same for every framework: channels, their ranks, and widths.

`channels` records which channels are coupled, `groups` which can be cut. `readings` and `selection` rank channels by
activations, `allocation` distributes the cut over groups, and `plan` combines these steps. New weights are fitted by
`apps.agents.measuring.statistics.least_squares`. A backend traces its models (`groups.Traced`), runs them and cuts
them. Imported in child processes only, because it needs numpy.
"""
