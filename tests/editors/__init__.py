"""Shardline in the real editors, with the files of editor-config; `python -m tests.editors` installs and runs them."""
