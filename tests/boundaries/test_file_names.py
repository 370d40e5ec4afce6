"""Files of one name are about one concept: which names stand in several places is chosen here, not left to chance.

A name may recur freely within one area: within an app (`forms/sharing.py`, `views/sharing.py`), within a room of
`apps/agents`, and among the parts of one technique, whatever the framework. Contracts and handlers share the names of
what they are about.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHELF = names(
    """
    actors admin api apps bulk checks columns consumers errors filters forms gauges messages middleware models
    querysets serializers services tallies urls views vocabulary
    """
)
"""What each app has, under the name that Django, its libraries or the other apps have for it."""
DECIDED_AND_KEPT = names(
    """
    card checkpoints compression comparing comparison defaults edits events evidence experience findings
    inspection layers metrics progress report room selection signing starting step taking throughput trials
    """
)
"""Agents decide or measure it, and the portal keeps and shows it."""
OF_EACH_TECHNIQUE = names(
    """
    agent allocation anatomy base blocks channels counting cutting elementwise engine files flow groups
    importance kernels layers layout loading measuring module narrowing parameters reading readings recovery
    rows search selection sensitivity surgery timing tracing weights widths workload
    """
)
"""The same part of several techniques or backends, or of a technique and of what it is judged by."""
ACROSS_THE_PORTAL = names(
    """
    addresses cards demo formats languages limits lineage machine markdown pages routing sending sessions
    single_sign_on storage tables texts workers
    """
)
"""One concern of several apps: each has its share of it."""
APART = {
    "examples": "of a package, that it checks itself with; and of a training, in batches",
    "kinds": "of candidates that teach about each other; and of notifications",
    "picture": "of readings on two axes; and of workers over time",
    "prediction": "of a candidate's measurements; and of a channel from the other channels",
    "reach": "of demanded gains; and of a child in its sandbox",
    "run": "the script of a package; and `manage.py run`",
    "table": "of the latencies of operators; and of a comparison",
    "watching": "how both models answer; and what nobody does and somebody should know",
}
"""Different things that only their packages tell apart. Do not add to these: find a name that says what it is."""
SAME_TECHNIQUE = {"channel_pruning": "pruning", "learning": "training"}


def area(path: Path) -> str | None:
    """Where a name may recur; `None` where it follows what the file is about."""
    top, inner = path.parts[1], path.parts[2:-1]
    if path.parts[0] == "platform" or top != "agents":
        return top
    if not inner or inner[0] in ("contracts", "handlers"):
        return None
    if inner[0] not in ("backends", "techniques"):
        return inner[0]
    own = inner[2:] if inner[0] == "backends" else [part for part in inner[1:] if part != "knowledge"]
    return "/".join(SAME_TECHNIQUE.get(part, part) for part in own) or "techniques"


def repeated() -> set[str]:
    """The names of files in several areas."""
    areas: dict[str, set[str]] = defaultdict(set)
    for root in ("apps", "platform"):
        for path in (ROOT / root).rglob("*.py"):
            found = area(path.relative_to(ROOT))
            if found is not None and path.stem != "__init__" and "migrations" not in path.parts:
                areas[path.stem].add(found)
    return {name for name, found in areas.items() if len(found) > 1}


def test_a_name_in_several_places_is_a_chosen_one() -> None:
    chosen = SHELF | DECIDED_AND_KEPT | OF_EACH_TECHNIQUE | ACROSS_THE_PORTAL | APART.keys()
    assert sorted(repeated() - chosen) == [], "find a name that says what the file is about, or add it with its reason"
    assert sorted(chosen - repeated()) == [], "these names stand in one place now"
