"""Training PyTorch models on a data set's training part: recovery after pruning, and distillation.

`trainer.py` is the entry point. What is the same for every framework is in `apps.agents.techniques.training`.
`module.py` turns an opened model into a module that can be trained.
"""
