"""The reports that agents write: their findings, as numbers with units and intervals.

These types are the contract between the workers that measure and the pages, the API and the recipe that show the
results. They are stored as JSON and read back with `model_validate`.
"""
