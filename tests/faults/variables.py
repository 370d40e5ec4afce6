"""What a test tells the workers that it starts."""

AHEAD = "LATHE_TEST_CLOCK_AHEAD_S"
"""The seconds that a worker's clock is ahead."""
