"""The project's settings over a directory that is thrown away, whatever the environment of the shell says."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_directory = tempfile.mkdtemp(prefix="tealeaves-test-")
_owner = os.getpid()


def _remove() -> None:
    if os.getpid() == _owner:
        shutil.rmtree(_directory, ignore_errors=True)


atexit.register(_remove)
for _name in ("SECRET_KEY", "DEBUG", "BEHIND_TLS", "CELERY_BROKER_URL", "DATABASE_URL", "ALLOWED_HOSTS"):
    os.environ.pop(_name, None)
for _name in [name for name in os.environ if name.startswith(("OPENAI_", "TEALEAVES_LLM_"))]:
    del os.environ[_name]  # no test asks, or pays, anybody
os.environ["TEALEAVES_DATA"] = _directory
if "TEST_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
# A real worker works for the tests: what it takes long to find out in production it finds in seconds here. The lease
# outlasts the first import of torch on a busy machine, during which no heartbeat gets a turn.
os.environ.update(JOB_LEASE_SECONDS="8", JOB_REAP_SECONDS="0.5", JOB_RESEND_SECONDS="2")
if "PYTEST_XDIST_WORKER" in os.environ:  # there are as many of these as cores: no second thread finds a place
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Playwright keeps an event loop running in the thread in which the tests use the ORM.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

from labelapp.config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # The live server takes files from where they lie; `./tea up --exit-when-ready` meets the manifest.
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
(Path(_directory) / "static").mkdir()
