"""Conflicts within criteria, and between criteria and what is known of model, data, workers and history.

A contradiction cannot be satisfied, so nothing is saved or started with it. A warning says that something has no effect
or is not likely to hold. Each conflict proposes resolutions: patches of the criteria that can be applied as they are.

A new rule is a function in one of the modules here, added to `RULES` in `checking.py`. It gets the criteria and what is
`Known`, and yields conflicts. It must say nothing about what is not known.
"""
