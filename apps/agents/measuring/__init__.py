"""Time that is the model's own: how runs are timed, which of them count, and what they say.

`effort` says how much measuring is worth, `stopwatch` times single runs, `cleanliness` says which of them nothing else
on the machine disturbed, `turns` times models in turns, `comparison` makes a report of it, and `timer` is the port that
an evaluation calls. Light: the heavy modules are imported by their own names.
"""

from apps.agents.measuring.effort import Effort

__all__ = ["Effort"]
