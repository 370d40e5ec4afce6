"""`make faults`: every row of the table, printed as they come; `--write` puts them into docs/faults.md.

The exit status is 1 if a row does not hold.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import django


def _end(number: int, frame: object) -> None:
    raise SystemExit(f"ended by {signal.Signals(number).name}")


def main() -> int:
    signal.signal(signal.SIGTERM, _end)  # Disks are unmounted, and servers stopped.
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/faults.md")
    parser.add_argument("--only", action="append", default=[], metavar="WORDS", help="rows whose name has these words")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    # Only now: they read the settings.
    from tests.faults import page

    return page.made(only=options.only, write=options.write)


if __name__ == "__main__":
    sys.exit(main())
