"""An ONNX graph as a PyTorch module, so that it can be trained and its weights written back into the same file.

`module.py` is the entry point: it runs the nodes in their order, each by a function of `operators.py`, to which
`layers.py`, `elementwise.py`, `shapes.py` and `resizing.py` add theirs. To support another operator, add its function
there and its name to `apps.agents.techniques.knowledge.onnx_training`; a test compares each with ONNX Runtime.
"""
