"""What a session hands over: the package with its script, examples and README, and the recipe to make it again.

Imports `techniques` and what lies below. Add a file of the package here.
"""
