"""Weights become zero and keep their places: by magnitude, Wanda or SparseGPT, as a share or two in four."""
