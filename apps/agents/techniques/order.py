"""Which technique may be applied after others, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence

from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.compatibility import format_label, formats_taken


def why_not_after(later: TechniqueSpec, earlier: Sequence[TechniqueSpec], original_format: str) -> str | None:
    """Why `later` may not follow `earlier`, which were applied in this order to a model in `original_format`.

    `None` if it may. Whether it would gain anything is not considered.
    """
    made = original_format
    for one in earlier:
        made = one.makes(made)
    if made not in later.formats:
        return f"It takes {formats_taken([later])}, but the earlier techniques make {format_label(made)}."
    if any(one.name == later.name for one in earlier):
        return "It has been applied already."
    return next((reason for one in earlier if (reason := _forbidden(one, later))), None)


def _forbidden(earlier: TechniqueSpec, later: TechniqueSpec) -> str | None:
    for family, reason in earlier.knowledge.forbids:
        if later.family.value == family:
            return reason
    if earlier.family is Family.QUANTIZATION:
        return f"It starts from float weights, but {earlier.label} has narrowed them."
    return None
