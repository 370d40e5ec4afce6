"""The process in which `apps.agents.measuring.peak_memory` measures an ONNX model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from apps.agents.backends.onnx import runtime
from apps.agents.measuring.engine import Feeds
from apps.agents.measuring.peak_memory_process import Probe


def main() -> None:
    probe = Probe.of_arguments()

    def load() -> Callable[[Feeds], object]:
        session = runtime.open_session(probe.model, threads=probe.target.threads, device=probe.target.device)
        return partial(runtime.run, session)

    probe.report(load)


if __name__ == "__main__":
    main()
