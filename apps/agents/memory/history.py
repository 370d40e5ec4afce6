"""The port to the place where experiences are kept, and the MemoryManager, which reads and writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from apps.agents.contracts.experience import Experience, Fingerprint, Learned
from apps.agents.memory.corrections import learned


class History(Protocol):
    """Experiences of ended sessions. An implementation decides whose: teams do not see each other's by themselves."""

    def similar(self, fingerprint: Fingerprint) -> Sequence[Experience]:
        """Those that may say something about such a session, the newest first. More than are similar may be given."""
        ...

    def keep(self, experiences: Sequence[Experience]) -> None:
        """Keeps the experiences of one session in place of those that it had before."""
        ...


@dataclass(frozen=True)
class MemoryManager:
    """Remembers what sessions measured, and says what that means for the next one."""

    history: History

    def remember(self, experiences: Sequence[Experience]) -> None:
        """Keeps what one session has shown. Repeating it changes nothing."""
        self.history.keep(experiences)

    def recall(self, fingerprint: Fingerprint) -> Learned:
        """How predictions are to be corrected for a session with this fingerprint."""
        return learned(self.history.similar(fingerprint), fingerprint)
