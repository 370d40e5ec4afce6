"""Parameters that techniques of several frameworks have in common."""

from __future__ import annotations

from apps.agents.technique_spec import ParameterSpec

ALPHA = ParameterSpec(
    name="alpha",
    kind="number",
    default=-1.0,
    minimum=-1.0,
    maximum=1.0,
    help="How much of the difficulty goes into the weights, 0 to 1; below 0 the best for this model is searched on "
    "calibration data.",
)
BITS = ParameterSpec(name="bits", kind="choice", default=4, choices=(4, 8), search=(4, 8), help="Bits of a weight.")
