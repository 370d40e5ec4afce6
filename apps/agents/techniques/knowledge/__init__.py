"""What is known of techniques before anything is measured: data with its source, and variants worth a thought.

`technique` has the shape of what one technique knows, a spec refers to it, and its defaults do for any technique. Below
it stand the tables that all share (`kernels`, `profile`, `fragility`), above it one module for each framework. Planning
asks the spec and never a technique's name.
"""
