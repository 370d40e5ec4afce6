"""`python -m apps.agents.recipe`: the documented command of `apps.agents.packaging.reproducing`."""

from __future__ import annotations

import sys

from apps.agents.packaging.reproducing import main

if __name__ == "__main__":
    sys.exit(main())
