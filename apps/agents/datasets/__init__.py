"""The examples of a data set as arrays, for calibration and for evaluation. Needs numpy; only the child imports it."""

from apps.agents.datasets.loading import Arrays, Dataset, Labels, Source, load_dataset, open_source

__all__ = ["Arrays", "Dataset", "Labels", "Source", "load_dataset", "open_source"]
