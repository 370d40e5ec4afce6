"""Parameters that techniques of several frameworks have in common."""

from __future__ import annotations

from apps.agents.techniques.spec import ParameterSpec

ALPHA = ParameterSpec(
    name="alpha",
    kind="number",
    default=-1.0,
    minimum=-1.0,
    maximum=1.0,
    help="The share of the difficulty that goes into the weights, from 0 to 1. Below 0, the best value for this model "
    "is searched on calibration data.",
)
BITS = ParameterSpec(name="bits", kind="choice", default=4, choices=(4, 8), search=(4, 8), help="Bits per weight.")
NODES_KEPT = ParameterSpec(
    name="keep_float_nodes",
    kind="names",
    default=(),
    help="Names of nodes that stay in float, the most sensitive first.",
)
OPERATORS_KEPT = ParameterSpec(
    name="keep_float_operators",
    kind="names",
    default=(),
    help="Operator types that stay in float, such as Softmax.",
)
PER_CHANNEL = ParameterSpec(
    name="per_channel",
    kind="boolean",
    default=True,
    search=(True, False),
    help="One scale for each output channel of a weight instead of one for the whole tensor.",
)
REDUCE_RANGE = ParameterSpec(
    name="reduce_range",
    kind="boolean",
    default=False,
    added_later=True,
    help="Use 7 of the 8 bits of a weight. x86 without VNNI adds products of 8 bits in 16 bits, and with all 8 bits of "
    "int8 weights those sums saturate. Such weights are right on every processor. Static int8 leaves depthwise "
    "convolutions all 8 bits, because their sums do not saturate.",
)
CALIBRATION_EXAMPLES = ParameterSpec(
    name="calibration_examples",
    kind="integer",
    default=128,
    minimum=1,
    maximum=4096,
    help="Number of calibration examples.",
)
MANY_CALIBRATION_EXAMPLES = CALIBRATION_EXAMPLES.model_copy(update={"default": 512})
"""For techniques that learn from the examples how a layer's inputs vary together."""
SPEED_PARAMETERS = (
    ParameterSpec(
        name="speedup_wanted",
        kind="number",
        default=0.0,
        minimum=0.0,
        maximum=100.0,
        help="How many times as fast the model must become, with one example at a time. Replaces the share to remove, "
        "which is then found by timing on the worker and stored in the recipe. 0: not asked for.",
    ),
    ParameterSpec(
        name="latency_ms",
        kind="number",
        default=0.0,
        minimum=0.0,
        maximum=1e6,
        help="The most milliseconds that one example may take on the worker. Works like `speedup_wanted`. 0: not asked "
        "for.",
    ),
)
KERNEL_SIDE = "kernel_side"
RIDGE = ParameterSpec(
    name="ridge",
    kind="number",
    default=0.001,
    minimum=0.0,
    maximum=1.0,
    help="How strongly fitted weights are held at their old values, as a share of the mean variance of a layer's "
    "inputs.",
)
CHANNELS = (
    ParameterSpec(
        name="importance",
        kind="choice",
        default="reconstruction",
        choices=("reconstruction", "variance", "l2"),
        help="Which channels stay: those that predict the others best, those that vary most, or those with the largest "
        "weights.",
    ),
    ParameterSpec(
        name="allocation",
        kind="choice",
        default="sensitivity",
        choices=("sensitivity", "uniform"),
        help="How the cut is distributed: by what the output loses without a layer's channels, or the same share for "
        "all layers.",
    ),
    ParameterSpec(
        name="compensate",
        kind="boolean",
        default=True,
        help="Fit the layers after a cut again by least squares. Off: only cut.",
    ),
)
"""How channels are chosen, and whether the layers after them are fitted again."""
