"""Lathe's own techniques, a module for each framework that they take models of."""
