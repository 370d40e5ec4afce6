"""The reports agents write: what they found, in numbers with their units and intervals.

These shapes are the contract between the workers that measure and the pages, the API and the recipe that show it. They
are stored as JSON and read back with `model_validate`.
"""
