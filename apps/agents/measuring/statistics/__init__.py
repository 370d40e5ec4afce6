"""Intervals, paired tests, sequential tests, and the statistical cost of choosing among several.

`certainty`, `power` and `tango` are plain Python for the web process; `intervals` and `group_sequential` need numpy.
"""
