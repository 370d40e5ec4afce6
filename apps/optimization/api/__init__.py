"""The API for sessions, criteria and the installation."""
