"""The name of each example's group: from a separate array or column, or from the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import MOST_GROUPS, DatasetSpec
from apps.agents.contracts.errors.datasets import GroupsInvalid

Array = NDArray[np.generic]
Names = NDArray[np.str_]

NONE = "(none)"
"""The group of examples with an empty cell."""


def group_names(values: Array, spec: DatasetSpec, classes: tuple[str, ...] = ()) -> Names:
    """A name for each of the `values` from the array or column `spec.group`.

    If the groups are the classes, class numbers are replaced by `classes`. Raises `GroupsInvalid` for a single group
    and for more than `MOST_GROUPS`.
    """
    flat = values.reshape(len(values), -1)
    if flat.shape[1] != 1:
        _refuse(spec, f"it has {flat.shape[1]} numbers per example, but each example needs one name")
    names = np.array([_name(value) for value in flat[:, 0]], dtype=np.str_)
    if spec.group == spec.label:
        names = np.array([_class(name, classes) for name in names], dtype=np.str_)
    found = len(np.unique(names))
    if found < 2:
        _refuse(spec, f"all examples belong to {str(names[0])!r}")
    if found > MOST_GROUPS:
        _refuse(spec, f"it has {found:,} different values, but at most {MOST_GROUPS} groups are supported")
    return names


def counted(names: Names) -> dict[str, int]:
    """Number of examples by group, the largest first."""
    groups, counts = np.unique(names, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(groups[place]): int(counts[place]) for place in order}


def _name(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return NONE
        value = int(value) if float(value).is_integer() else value
    return str(value).strip() or NONE


def _class(name: str, classes: tuple[str, ...]) -> str:
    number = int(name) if name.isdecimal() else -1
    return classes[number] if 0 <= number < len(classes) else name


def _refuse(spec: DatasetSpec, reason: str) -> None:
    raise GroupsInvalid(group=spec.group, reason=reason, field="group")
