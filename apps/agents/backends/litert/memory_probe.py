"""The process in which `apps.agents.measuring.peak_memory` measures a TensorFlow Lite model."""

from __future__ import annotations

from apps.agents.backends.litert.flatbuffer import read_litert
from apps.agents.backends.litert.runtime import Session
from apps.agents.measuring.peak_memory_process import Probe


def main() -> None:
    probe = Probe.of_arguments()
    file = read_litert(probe.model)
    probe.report(lambda: Session(file, probe.model, probe.target))


if __name__ == "__main__":
    main()
