"""The examples of a data set as arrays: loading, splitting, and whether a data set fits a model.

`dataset_fit` and `text_fit` judge by summaries alone and are light; `loading` and what it loads with need numpy and run
in a child process only. Imports `files` and `contracts`. Add a new kind of data set here.
"""
