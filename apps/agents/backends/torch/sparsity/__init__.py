"""Sets weights to zero in place: by magnitude, Wanda or SparseGPT; a share of them, or two of every four."""
