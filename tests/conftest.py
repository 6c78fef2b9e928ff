"""One thread: the suite's models are small, and two threads on a busy machine are slower."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
