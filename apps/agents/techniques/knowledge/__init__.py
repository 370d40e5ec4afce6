"""What is known about techniques before anything is measured: data with its source, and variants to consider.

`technique` has the base classes for knowledge about one technique. A spec refers to an instance, and the defaults work
for any technique. `kernels`, `profile` and `fragility` are shared by all, and there are modules for each framework.
Planning reads the spec's knowledge and never depends on a technique's name.
"""
