"""`python -m shardline` is the `shardline` command."""

from shardline.cli import main

if __name__ == "__main__":  # processes of `shardline bench` import this again
    main()
