"""What the packages of the agents exchange: criteria, formats, reports, the state of a session, jobs, errors.

It holds plain, frozen values that validate themselves and become JSON, and the phrases with which several packages
express numbers. The web process imports them, so they import no heavy library. Every other package may import this one,
and it imports none of them. Add a field of a report, a new error or a new model format here.

Texts say *validation* and *test* for the two parts of a data set that candidates are measured on. The values that rows,
jobs and the API store are older: `choosing` is the validation part and `evaluation` is the test part.
"""
