"""The examples of a data set as arrays: loading, splitting, and whether a data set fits a model.

`dataset_fit` and `text_fit` use only summaries and import nothing heavy. `loading` and the modules that it uses need
numpy and run only in a child process. Imports `files` and `contracts`. Add a new kind of data set here.
"""
