"""The parts of training that are the same for every framework: time, schedule, early stopping, checkpoints.

`trainer` is the entry point. A backend gives it a `learner.Learner`, which makes steps and checks.
"""
