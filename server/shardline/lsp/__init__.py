"""The protocol room: the Language Server Protocol is spoken here and nowhere else."""
