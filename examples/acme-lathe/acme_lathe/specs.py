"""What Lathe is to know of the technique. The portal imports this, so nothing heavy stands here."""

from apps.agents.techniques.catalogue import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

PALETTE = TechniqueSpec(
    name="acme-palette",
    family=Family.COMPRESSION,
    label="Palette",
    summary="Each weight becomes an 8-bit number of a value in its tensor's table: a quarter of the size, computed in "
    "float32 as before.",
    formats=("onnx",),
    output_format="onnx",
    requires=("onnx", "numpy"),
    acts_on=("Conv", "ConvTranspose", "MatMul", "Gemm"),
    parameters=(
        ParameterSpec(
            name="values",
            kind="choice",
            default=256,
            choices=(16, 64, 256),
            search=(256, 64),
            help="How many values the weights of a tensor may have.",
        ),
        ParameterSpec(
            name="spacing",
            kind="choice",
            default="even",
            choices=("even", "quantiles"),
            search=("even", "quantiles"),
            help="Whether the values lie equally far apart, or as dense as the weights do.",
        ),
        ParameterSpec(
            name="keep_float_nodes",
            kind="names",
            default=(),
            help="Names of nodes that keep their weights, the most sensitive first.",
        ),
    ),
    expectation=Expectation(size_ratio=3.5, speedup=1.0, metric_drop_points=0.1, risk=Risk.LOW),
    reference="Han et al. 2016, https://arxiv.org/abs/1510.00149",
    implementation="acme_lathe.palette:Palette",
)
