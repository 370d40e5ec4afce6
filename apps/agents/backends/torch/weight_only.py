"""Weight-only int8 for linear layers by torchao: one scale per output channel, activations stay in float.

The product is computed in float, so it saves size and memory, and time if reading the weights dominates
(https://github.com/pytorch/ao). torchao packs 4-bit weights only for accelerators; round to nearest
(`torch-round-to-nearest`) stores them for every device.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from transformers import TorchAoConfig

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.folder_quantization import FolderQuantization, kept_names, left_out, library_at_work
from apps.agents.backends.torch.saving import pack_folder
from apps.agents.contracts.context import Context
from apps.agents.techniques.base import Applied, Assignment

_SCALE_BYTES, _ZERO_POINT_BYTES = 4, 1


class WeightOnlyQuantization(FolderQuantization):
    """Linear layers in torchao's format, which transformers can load."""

    def packed_bytes(self, assignment: Assignment, rows: int, columns: int) -> int:
        return rows * columns + rows * (_SCALE_BYTES + _ZERO_POINT_BYTES)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(assignment.threads)
        with (
            tempfile.TemporaryDirectory(dir=assignment.scratch, prefix="torchao-") as kept,
            library_at_work(assignment.spec.label, assignment.seed),
        ):
            # Loads for seconds, and warns of every missing accelerator.
            from torchao.quantization import Int8WeightOnlyConfig

            context.progress(0.1, "rounding")
            alone = left_out(self.folder.outline, kept_names(assignment))
            model = self.folder.model_class.from_pretrained(
                str(self.folder.path),
                quantization_config=TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=alone),
                device_map={"": "cpu"},
                local_files_only=True,
                weights_only=True,
            )
            context.progress(0.8, "writing")
            model.save_pretrained(kept)
            return Applied(pack_folder(Path(kept), self.folder.path, assignment.out))
