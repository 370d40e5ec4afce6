"""Training of models as far as it is the same for every framework: time, schedule, early stopping, checkpoints.

`trainer` is the door. A backend gives it a `learner.Learner`, which makes steps and checks.
"""
