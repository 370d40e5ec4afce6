"""The craft: agents that analyse, plan, optimize, evaluate and package models. Plain Python, no Django inside.

Each package is a room with a docstring that says what it is for, who may import it, and what to add where;
ARCHITECTURE.md has the map, and an import contract in pyproject.toml keeps the layers.
"""
