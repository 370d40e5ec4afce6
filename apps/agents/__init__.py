"""The agents, which analyse, plan, optimize, evaluate and package models. Plain Python without Django.

The docstring of each package describes its purpose, who may import it, and what belongs there. ARCHITECTURE.md shows
how they fit together, and an import contract in pyproject.toml checks the layers.
"""
