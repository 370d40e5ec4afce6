"""What a measurement asks of the operating system: priority, cores of its own, a quiet moment; and what it receives."""
