"""Python runs this at its start when the folder is on PYTHONPATH: arms the cut in the plugin that an engine starts."""

import importlib.util
import os
import sys
from pathlib import Path

if "JVP_CUT" in os.environ or "JVP_CUT_LOG" in os.environ:
    _spec = importlib.util.spec_from_file_location("jvp_cut", Path(__file__).parents[1] / "cut.py")
    assert _spec is not None
    assert _spec.loader is not None
    _cut = importlib.util.module_from_spec(_spec)
    sys.modules["jvp_cut"] = _cut
    _spec.loader.exec_module(_cut)
    _cut.arm_on_import()
