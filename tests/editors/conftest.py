"""These tests run by `python -m tests.editors` alone, which installs their editors first."""

import os

collect_ignore_glob = [] if "SHARDLINE_EDITORS" in os.environ else ["test_*.py"]
