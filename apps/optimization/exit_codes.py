"""The exit codes of commands that wait for a session, so that scripts can distinguish the outcomes."""

from __future__ import annotations

from apps.agents.contracts.state import Outcome

UNDECIDED: dict[str, int] = {Outcome.NOT_MEASURED: 3, Outcome.INCONCLUSIVE: 4}
"""Exit codes by outcome. 1 is any failure, 2 an invalid command line."""
SAID = "3 if nothing was measured, 4 if the machine was too busy to tell"
