"""The examples of a data set as arrays, for calibration and for evaluation. Needs numpy; only the child imports it."""

from apps.agents.datasets.loading import Arrays, Dataset, load_dataset

__all__ = ["Arrays", "Dataset", "load_dataset"]
