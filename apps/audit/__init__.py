"""The audit trail, below everything that records events in it.

It is a package, not a Django app: its tables, permissions and admin pages belong to the app `optimization`, as before,
so an installation keeps its events and permissions without a migration.
"""
