"""`python -m shardline` is the `shardline` command."""

from shardline.cli import main

main()
