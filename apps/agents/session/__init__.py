"""Given all that is known of a session, what next? The OptimizationManager and what it reads.

Pure functions of a `SessionState`: no clock, no memory of its own, no ML library. The platform's pipeline imports it;
it imports `planning`, `evaluation` and what lies below. Add a kind of step, or a rule on when to stop, here.
"""
