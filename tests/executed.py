"""The tool that makes notebooks of tutorials, as the tests of both import it."""

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[1] / "tools/notebooks.py"
_SPEC = importlib.util.spec_from_file_location("notebooks", _PATH)
notebooks = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(notebooks)
