"""The tests in front of real servers run by `python -m tests.remote` alone, which installs these first."""

import os

collect_ignore_glob = [] if "SHARDLINE_REMOTES" in os.environ else ["test_real_*.py"]
