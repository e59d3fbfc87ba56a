"""Exclusion of the tests with real servers, which `python -m tests.remote` installs."""

import os

collect_ignore_glob = [] if "SHARDLINE_REMOTES" in os.environ else ["test_real_*.py"]
