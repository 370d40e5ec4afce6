"""Views of sessions, criteria, workers and the audit trail."""
