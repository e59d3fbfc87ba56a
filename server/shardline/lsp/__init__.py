"""Language Server Protocol, which is spoken here and nowhere else."""
