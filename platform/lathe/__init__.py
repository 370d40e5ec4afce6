"""The Django project: settings, environment, URLs and entry points."""
