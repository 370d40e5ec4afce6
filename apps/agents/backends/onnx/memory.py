"""The process in which `apps.agents.memory` measures an ONNX model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from apps.agents.backends.onnx import runtime
from apps.agents.memory_probe import Probe
from apps.agents.runners import Feeds


def main() -> None:
    probe = Probe.of_arguments()

    def load() -> Callable[[Feeds], object]:
        session = runtime.open_session(probe.model, threads=probe.target.threads, device=probe.target.device)
        return partial(runtime.run, session)

    probe.report(load)


if __name__ == "__main__":
    main()
