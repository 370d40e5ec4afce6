"""Weights made ready for few bits by calibration examples alone: equalized, rounded with care, biases corrected.

Layers come from the prepared graph that every quantization starts from, so what is written here keeps its names there.
"""
