"""The settings of the tests: the project's own, over a folder and services that end with the run.

LATHE_TEST_DATABASE_URL and LATHE_TEST_REDIS_URL run the same tests against real servers; without them there is SQLite
in a temporary folder, and messages stay in memory.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Processes that tests start read the same environment, so they share the folder; only the one that made it removes it.
if "LATHE_TEST_VAR_DIR" not in os.environ:
    _folder = tempfile.mkdtemp(prefix="lathe-test-")
    os.environ["LATHE_TEST_VAR_DIR"] = _folder
    _owner = os.getpid()
    atexit.register(lambda: os.getpid() == _owner and shutil.rmtree(_folder, ignore_errors=True))

VAR_DIR = Path(os.environ["LATHE_TEST_VAR_DIR"])
# Tests that run side by side (pytest-xdist) get a folder and a database of Redis for each process; pytest-django does
# the same for the database.
if (_worker := os.environ.get("PYTEST_XDIST_WORKER")) and VAR_DIR.name != _worker:
    VAR_DIR /= _worker
    VAR_DIR.mkdir()
    os.environ["LATHE_TEST_VAR_DIR"] = str(VAR_DIR)
    if _url := os.environ.get("LATHE_TEST_REDIS_URL"):
        os.environ["LATHE_TEST_REDIS_URL"] = f"{_url.rpartition('/')[0]}/{1 + int(_worker.removeprefix('gw'))}"
for _name in [name for name in os.environ if name.startswith("LATHE_") and not name.startswith("LATHE_TEST_")]:
    del os.environ[_name]
for _name in ("STORAGE_URL", "EMAIL_URL", "DATABASE_URL", "REDIS_URL"):
    os.environ.pop(_name, None)
os.environ["LATHE_VAR_DIR"] = str(VAR_DIR)
os.environ["LATHE_ALLOWED_HOSTS"] = "localhost,127.0.0.1,testserver"
os.environ["LATHE_LOG_LEVEL"] = "WARNING"
# Beside other tests the machine is never quiet; the tests of the wait ask for one themselves.
os.environ["LATHE_QUIET_WAIT_S"] = "0"
# Enough to see that speed is measured; tests that judge how fast something is ask for more themselves.
os.environ["LATHE_TIMING_S"] = "1"
if database_url := os.environ.get("LATHE_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = database_url
if redis_url := os.environ.get("LATHE_TEST_REDIS_URL"):
    os.environ["REDIS_URL"] = redis_url

from lathe.settings import *  # noqa: E402, F403
from lathe.settings import DATABASES, DRAMATIQ_MIDDLEWARE  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file and not memory: threads and processes of a test see the same rows, with the same locking as in production.
    DATABASES["default"]["TEST"] = {"NAME": VAR_DIR / "test.sqlite3"}
else:
    # A commit need not wait for the disk: no test takes the server's power away.
    DATABASES["default"]["OPTIONS"] = {**DATABASES["default"]["OPTIONS"], "options": "-c synchronous_commit=off"}

DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.stub.StubBroker",
    "OPTIONS": {},
    "MIDDLEWARE": DRAMATIQ_MIDDLEWARE,
}
if not redis_url:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# A slow hash protects passwords, of which the tests have none.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Looked up when asked for: scanning all static files for every test client costs more than most tests.
WHITENOISE_AUTOREFRESH = True
