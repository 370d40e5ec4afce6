"""How Lathe bears load: pages while sessions run, queues, long lists, live updates, and large uploads.

`python -m benchmarks.load [short|full]` starts an installation of its own over PostgreSQL and Redis, as separate
processes, and writes what it found to build/load/report.md.
"""
