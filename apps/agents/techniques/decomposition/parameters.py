"""The parameters of decomposition, which techniques of all frameworks share."""

from __future__ import annotations

from apps.agents.techniques.spec import ParameterSpec

BUDGETS = ("macs", "bytes", "latency")
FORMS = ("auto", "spatial", "channel", "tucker", "cp")
DECOMPOSITION: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="removed",
        kind="number",
        default=0.4,
        minimum=0.01,
        maximum=0.95,
        search=(0.25, 0.4, 0.6),
        help="Share of the budget to remove.",
    ),
    ParameterSpec(
        name="budget",
        kind="choice",
        default="macs",
        choices=BUDGETS,
        help="What is to be saved: multiply-accumulates or stored numbers of the whole model, or the measured time of "
        "the layers that can be decomposed.",
    ),
    ParameterSpec(
        name="form",
        kind="choice",
        default="auto",
        choices=FORMS,
        help="The factors of a convolution: spatial (k×1, then 1×k), channel (k×k into few channels, then 1×1), tucker "
        "(1×1, k×k, 1×1) or cp (1×1, one kernel for each channel, 1×1). auto chooses for each layer. Matrix products "
        "have one form, which auto and channel allow.",
    ),
    ParameterSpec(
        name="weighted",
        kind="boolean",
        default=True,
        help="Weigh errors by how the layers' inputs vary together on calibration examples. Off: plain SVD of the "
        "weights.",
    ),
    ParameterSpec(
        name="allocation",
        kind="choice",
        default="sensitivity",
        choices=("sensitivity", "energy"),
        help="How ranks are distributed over the layers: by what the output loses, or by the energy that each layer "
        "keeps.",
    ),
    ParameterSpec(
        name="multiple_of",
        kind="choice",
        default=16,
        choices=(1, 8, 16),
        help="Ranks are multiples of this number. Kernels for odd widths are slow.",
    ),
    ParameterSpec(
        name="timed",
        kind="boolean",
        default=True,
        help="Time each layer and its factors beside each other on the worker, and leave a layer alone if too little "
        "of the saved work shows in its time.",
    ),
    ParameterSpec(
        name="ranks",
        kind="names",
        default=(),
        help="Forms and ranks to use as they are, each as layer=form:rank. A recipe lists those that were found, so "
        "following it times nothing. Empty: choose them.",
    ),
)
"""Without `refit`, which not every framework has."""
