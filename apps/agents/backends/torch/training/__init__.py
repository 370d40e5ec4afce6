"""Training PyTorch models on a data set's training part: recovery after pruning, and distillation.

`trainer.py` is the door; what is the same for every framework stands in `apps.agents.techniques.training`. `module.py`
makes of what was opened a module that can be trained.
"""
