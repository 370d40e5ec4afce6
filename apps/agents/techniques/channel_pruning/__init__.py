"""Structured pruning as far as it is the same for every framework: channels, their ranks, widths and new weights.

`channels` knows which channels stand or fall together, `groups` what can be cut and what not. `readings` and
`selection` rank channels by activations, `allocation` shares out the target, `plan` puts that in order. Weights are
fitted by `apps.agents.measuring.statistics.least_squares`. A backend traces its models (`groups.Traced`), runs and cuts
them. Imported in a child process only, because it takes numpy.
"""
