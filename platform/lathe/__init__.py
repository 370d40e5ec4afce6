"""The Django project: settings, environment, addresses, doors."""
