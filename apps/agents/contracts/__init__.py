"""What the rooms of the agents exchange: criteria, formats, reports, the state of a session, jobs, errors.

Plain, frozen values that validate themselves and become JSON, and the phrases that several rooms say numbers in. Light:
the web process imports them. Every room may import this one; it imports none of them. Add a field of a report, a new
error or a new model format here.
"""
