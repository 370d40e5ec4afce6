"""What calibration alone wins back on the samples: equalization before int8, careful rounding at 3 and 4 bits.

    python -m benchmarks.calibration --data usr/share/datasets/fashion-mnist --only equalize low-bits

`--data` is what Debian's `dataset-fashion-mnist` unpacks to (samples/README.md). 512 training pictures, without their
labels, are what the techniques see; accuracy is on all 10,000 test pictures, speed as in `benchmarks.pruning`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from apps.agents.contracts.criteria import Device
from apps.agents.measuring.machine import describe_machine
from apps.agents.measuring.machine_class import MachineClass, machine_class
from benchmarks.pruning import LARGEST_SHARE, SEEN, accuracy, pictures, speedup
from tests.agents.backends.onnx_calibrated.spreading import spread
from tests.agents.workshop import DEPTHWISE, FIDELITY, RESNET, Workshop

Made = tuple[Path, dict[str, object]]
Apply = Callable[..., Made]
SEVEN_BITS = machine_class(Device.CPU, frozenset(describe_machine().flags)) is MachineClass.PLAIN
"""What plans set on x86 without VNNI."""
EQUALIZE, STATIC, LOW = "onnx-equalize", "onnx-static-int8", "onnx-low-bits"


def equalization(folder: Path, apply: Apply, show: Callable[..., str]) -> Iterator[str]:
    """The depthwise sample, plain and with channels spread by hand, in int8 before and after equalization."""
    yield "| model | accuracy % | int8 per tensor | int8 per channel |\n|---|---|---|---|"
    wild = spread(folder)
    clipped = {"most_clipped": 0.01}
    models = {
        "as it is": DEPTHWISE,
        "as it is, equalized": apply(EQUALIZE, DEPTHWISE, **clipped)[0],
        "spread": wild,
        "spread, equalized": apply(EQUALIZE, wild)[0],
    }
    for name, model in models.items():
        narrow = [apply(STATIC, model, per_channel=one, reduce_range=SEVEN_BITS)[0] for one in (False, True)]
        yield f"| {name} | {' | '.join(show(path) for path in (model, *narrow))} |"


def low_bits(model: Path, bits: int, apply: Apply, show: Callable[..., str]) -> Iterator[str]:
    """One model at so many bits: rounded to nearest, with corrected biases, by GPTQ and by AdaRound."""
    yield f"| {model.stem}, {bits} bits | accuracy % | seconds | decisions changed | times smaller | times faster |"
    yield "|---|---|---|---|---|---|"

    def row(name: str, *chain: tuple[str, Mapping[str, object]]) -> str:
        made, found, begun = model, dict[str, object](), time.process_time()
        for technique, more in chain:
            made, evidence = apply(technique, made, **more)
            found |= evidence
        seconds = time.process_time() - begun
        ratio = model.stat().st_size / made.stat().st_size
        example = np.zeros((1, 1, 28, 28), np.float32)
        changed = found.get("decisions_changed", 0.0)
        faster = speedup(model, made, example)
        return f"| {name} | {show(made)} | {seconds:.0f} | {changed:.1%} | {ratio:.1f} | {faster:.2f} |"

    stored = (LOW, {"bits": bits})
    yield row("float")
    yield row("nearest", (LOW, {"bits": bits, "correct_biases": False}))
    yield row("nearest, biases corrected", stored)
    for technique in ("onnx-gptq", "onnx-adaround"):
        yield row(technique, (technique, {"bits": bits}), stored)
        yield row(f"{technique}, then int8", (technique, {"bits": bits}), (STATIC, {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=["equalize", "low-bits"], choices=["equalize", "low-bits"])
    arguments = parser.parse_args()
    seen, _ = pictures(arguments.data, "train")
    images, labels = pictures(arguments.data, "t10k")
    chosen = np.random.default_rng(0).permutation(len(seen))[: SEEN * LARGEST_SHARE]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = Workshop(folder)
        data = shop.examples(image=seen[chosen])

        def apply(technique: str, model: Path, **parameters: object) -> Made:
            made = shop.apply(technique, model, data, FIDELITY, **parameters)
            return made.artifact, dict(made.result.evidence)

        def show(path: Path) -> str:
            return f"{accuracy(path, images, labels):.2f}"

        if "equalize" in arguments.only:
            print(*equalization(folder, apply, show), sep="\n", flush=True)
        if "low-bits" in arguments.only:
            for model, bits in ((RESNET, 3), (RESNET, 4), (DEPTHWISE, 4)):
                for line in low_bits(model, bits, apply, show):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
