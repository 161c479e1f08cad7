"""Oracles are asked as they are: ppi-python's compiled loops would take longer to compile than to run."""

import os

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
