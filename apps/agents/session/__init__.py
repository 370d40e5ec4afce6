"""The OptimizationManager, which decides a session's next steps from its state, and the views of the state that it
uses.

Pure functions of a `SessionState`: they use neither a clock, nor memory of their own, nor an ML library. The platform's
pipeline imports this package. It imports `planning`, `evaluation` and the packages below. Add a kind of step, or a rule
on when to stop, here.
"""
