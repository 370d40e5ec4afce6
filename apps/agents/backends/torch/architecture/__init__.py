"""The search for smaller architectures of PyTorch programs, by a supernet whose sub-networks share its weights."""
