"""The audit trail, below everything that enters something into it.

It is a package and no Django app of its own: its tables, permissions and pages in the admin belong to the app
`optimization`, as they always have, so an installation keeps its events and who may read them without a migration.
"""
