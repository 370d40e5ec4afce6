"""Structured pruning of PyTorch models by torch-pruning's dependency graph (https://arxiv.org/abs/2301.12900)."""
