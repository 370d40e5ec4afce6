"""Splits the action's input `arguments` as a shell would, without running any of it: each argument ends with a NUL."""

import shlex
import sys

try:
    found = shlex.split(sys.argv[1])
except ValueError as error:
    sys.exit(f"The input `arguments` cannot be split: {error}. Quote it as in a shell.")
sys.stdout.buffer.write(b"".join(one.encode(errors="surrogateescape") + b"\0" for one in found))
