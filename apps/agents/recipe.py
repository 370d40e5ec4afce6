"""`python -m apps.agents.recipe`: the documented command of `apps.agents.packaging.recipe`."""

from __future__ import annotations

import sys

from apps.agents.packaging.recipe import main

if __name__ == "__main__":
    sys.exit(main())
