"""The techniques: their specs, the catalogue, knowledge about them, and the base class of their implementations.

A spec (`spec`, and a module of specs for each framework) imports no heavy library: forms, API, documents and the
planner read it. `knowledge` contains what is known about a technique before it is measured. `base` has the steps check,
estimate, apply and validate for the implementations in `backends`. To add a technique, write a spec here and a module
there (docs/add-a-technique.md).
"""
