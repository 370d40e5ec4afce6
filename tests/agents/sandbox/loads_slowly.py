"""A library that takes its time when it is imported."""

import time

time.sleep(4)
