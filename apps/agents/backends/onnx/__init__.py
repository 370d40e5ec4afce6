"""ONNX and ONNX Runtime: inspection, analysis, and the techniques for `.onnx` files."""
