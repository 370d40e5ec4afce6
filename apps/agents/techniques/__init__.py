"""What can be done to a model: the specs of all techniques, their catalogue, and the base of their implementations.

A spec (`spec`, and a module of specs for each framework) is light: forms, API, documents and the planner read it. What
is known of a technique before it is measured stands in `knowledge`. `base` is check, estimate, apply, validate for the
implementations in `backends`. Add a technique with a spec here and a module there (docs/add-a-technique.md).
"""
