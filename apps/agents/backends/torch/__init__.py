"""PyTorch and transformers, in the child process."""
