"""What the original is, what it costs here, where its time goes, what it can bear, and whether the data fits it.

Home of the AnalysisAgent. Imports `planning` (for what can be hoped for) and what lies below. Add a finding about the
original here.
"""
