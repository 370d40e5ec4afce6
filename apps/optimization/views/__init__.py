"""The portal's pages of sessions, criteria, workers and the audit trail."""
