"""Training Keras models on a data set's training part: Keras' side of `apps.agents.techniques.training`.

`learner` makes steps and checks with `examples`, `losses` and the original's answers (`teacher`). `recovery` is the
technique.
"""
