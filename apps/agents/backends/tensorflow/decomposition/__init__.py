"""Low-rank decomposition of Keras 3 models without training.

The factors and the choice of ranks are in `apps.agents.techniques.decomposition`. Here `layers` finds what can be
replaced, `factors` makes Keras layers of factors and puts them into a model, and `measuring` measures inputs, times and
the output's noise. `agent` combines these steps.
"""
