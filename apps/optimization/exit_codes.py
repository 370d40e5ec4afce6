"""What commands that wait for a session exit with, so that a script can tell the outcomes apart."""

from __future__ import annotations

from apps.agents.contracts.state import Outcome

UNDECIDED: dict[str, int] = {Outcome.NOT_MEASURED: 3, Outcome.INCONCLUSIVE: 4}
"""By outcome. 1 is every failure, 2 a command line that is not understood."""
SAID = "3 where nothing was measured, 4 where the machine was too busy to tell"
