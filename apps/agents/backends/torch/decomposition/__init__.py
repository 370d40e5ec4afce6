"""Low-rank decomposition of PyTorch programs without training.

The factors and the choice of ranks are in `apps.agents.techniques.decomposition`. Here `layers` finds the modules that
can be replaced and reads their inputs, `measuring` measures time and the output's noise, `modules` makes factors of a
layer, and `agent` combines these steps.
"""
