"""``python -m hypercate``."""

import sys

from hypercate.cli import main

sys.exit(main())
