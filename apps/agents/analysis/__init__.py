"""The AnalysisAgent: the original's cost, where its time goes, how sensitive it is, and whether the data set fits it.

It imports `planning`, to predict gains, and the packages below. Add a finding about the original here.
"""
