"""The process in which `apps.agents.measuring.peak_memory` measures a PyTorch model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_opened, summarize
from apps.agents.backends.torch.opening import open_model
from apps.agents.contracts.formats import Format
from apps.agents.measuring.engine import Feeds
from apps.agents.measuring.peak_memory_process import Probe


def main() -> None:
    probe = Probe.of_arguments()
    device = probe.target.device.value
    use_threads(probe.target.threads)
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        opened = open_model(probe.model, Path(scratch))
        summarize(opened)  # Imports the model's classes.
        if opened.format is Format.TORCH_EXPORT:
            import_module(
                "torch.export.pt2_archive"
            )  # The loader belongs to the runtime and is larger than many models.

        def load() -> Callable[[Feeds], object]:
            loaded = load_opened(opened, device=device)
            return lambda feeds: loaded.run(feeds, device)

        probe.report(load, torch.cuda.max_memory_allocated)


if __name__ == "__main__":
    main()
