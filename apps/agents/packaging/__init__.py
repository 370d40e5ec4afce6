"""The package that a session delivers, with its script, examples and README, and the recipe to make it again.

It imports `techniques` and the packages below. Add a file of the package here.
"""
