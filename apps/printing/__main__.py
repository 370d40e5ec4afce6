"""Reads HTML from the standard input, and writes a PDF to the standard output."""

from __future__ import annotations

import resource
import sys

from apps.printing.binding import pdf_of

MOST_MEMORY_BYTES = 1 << 30
MOST_SECONDS = 60
"""Of a core, before the system ends the process; who waits for it gives up sooner."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    sys.stdout.buffer.write(pdf_of(sys.stdin.buffer.read().decode()))


if __name__ == "__main__":
    main()
