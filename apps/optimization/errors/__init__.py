"""What a member can get wrong about criteria and sessions: codes and sentences, a module for each area.

All areas are imported here, so that the catalogue of errors is whole whichever of them is asked for first.
"""

from apps.optimization.errors import (
    comments,
    continuing,
    criteria,
    demo,
    lifecycle,
    matrices,
    resources,
    results,
    running,
    sharing,
    side_by_side,
    starting,
    students,
    templates,
    worded,
)

__all__ = [
    "comments",
    "continuing",
    "criteria",
    "demo",
    "lifecycle",
    "matrices",
    "resources",
    "results",
    "running",
    "sharing",
    "side_by_side",
    "starting",
    "students",
    "templates",
    "worded",
]
