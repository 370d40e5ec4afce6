"""What a model takes on this machine: time that is its own, peak memory, and the statistics that both need.

`effort` says how much measuring is worth, `stopwatch` times single runs, `disturbance` says which of them nothing else
on the machine disturbed, `interleaving` times models in turns, `comparison` makes a report of it, `timer` is the port
that an evaluation calls, and `engine` is the port to a model's runtime. `scheduling` asks the operating system for
quiet, `statistics` has intervals and tests. Evaluation, techniques and analysis import it. Add a new measure of a run
here.
"""
