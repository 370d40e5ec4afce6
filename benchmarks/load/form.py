"""How much load: enough to see that all of it works, or what a team of fifty makes on a bad day."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    takes: str
    people: int
    """Who browse at the same time."""
    watching: int
    """How many of them have the page of a running session open beside."""
    browse_s: float
    queued: tuple[int, ...]
    """Sessions that are started at once, in turn."""
    sessions: int
    """Of the team with long lists."""
    events: int
    """From a worker to a browser."""
    uploads: tuple[str, ...]


FORMS = {
    "short": Form(
        takes="five minutes",
        people=50,
        watching=10,
        browse_s=30.0,
        queued=(10,),
        sessions=5_000,
        events=25,
        uploads=("200MiB",),
    ),
    "full": Form(
        takes="an hour, and 40 GB of disk",
        people=50,
        watching=10,
        browse_s=180.0,
        queued=(50, 500),
        sessions=100_000,
        events=200,
        uploads=("2GiB", "8GiB"),
    ),
}
