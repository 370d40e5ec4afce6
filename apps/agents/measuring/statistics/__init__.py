"""Intervals, paired tests, sequential tests and the price of choosing among several.

`certainty`, `power` and `tango` are plain Python, for the web process; `intervals` and `group_sequential` need numpy.
"""
