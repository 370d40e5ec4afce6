"""What Lathe does when something fails: `make faults`, and a short form of it in `make test`.

A whole installation runs as separate processes over a PostgreSQL and a Redis of its own (`system`). While a session is
in one of its phases, something is struck (`strikes`). A table (`scenarios`) says of each fault how the session ends and
how soon it has recovered; `trial` carries out its rows.

The steps are small (`tests.optimization.handlers`), and wait where a test wants to strike; everything around them is
the product. Leases, heartbeats and waits are shorter than the product's (`settings`).
"""
