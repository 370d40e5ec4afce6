"""How long each page takes for one person: time and queries in the server, bytes, and until the first thing is seen.

`python -m benchmarks.page_times` starts a web server of its own, over SQLite or a PostgreSQL that it is given, with one
of everything in it, and writes what it found to build/page-times.md.
"""
