"""What a model costs on this machine: its own time, its peak memory, and the statistics that both need.

`effort` defines how much to measure, `stopwatch` times single runs, `disturbance` finds the runs that nothing else on
the machine disturbed, `interleaving` times models in turn, `comparison` turns the runs into a report, `timer` is the
port that an evaluation calls, and `engine` is the port to a model's runtime. `scheduling` asks the operating system for
quiet; `statistics` contains intervals and tests. Evaluation, techniques and analysis import this package. Add a new
measure of a run here.
"""
