"""The process in which `apps.agents.memory` measures a TensorFlow Lite model."""

from __future__ import annotations

from apps.agents.backends.litert.flatbuffer import read_litert
from apps.agents.backends.litert.runtime import Session
from apps.agents.memory_probe import Probe


def main() -> None:
    probe = Probe.of_arguments()
    file = read_litert(probe.model)
    probe.report(lambda: Session(file, probe.model, probe.target))


if __name__ == "__main__":
    main()
