"""Models and data sets of every kind and size, made on the spot: for tests, for benchmarks, and to try Lathe with.

Everything is drawn from a seed, so the same call gives the same bytes on every machine. Nothing is trained: labels come
from the examples' own making, not from a model. `data_sets` needs numpy, the others also the framework that they make
models of, so the web process imports none of them.

    from lathe.testing import data_sets, onnx_models
    model = onnx_models.convolutional(megabytes=20, side=32)
    data = data_sets.npz(**data_sets.pictures(1000, side=32))

Formats that are folders (SavedModel, transformers) are uploaded as zips: `folders.zipped`.
"""
