"""The page of operators, and the same in the API: what waits, who works, what is full, slow or failed.

It reads what the metrics, the doctor and the workers' page read. What is asked for at each poll is cheap: a few rows at
work, and Redis. Use of the store is summed up once a minute for all; the audit trail is verified by workers.
"""
