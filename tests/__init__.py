"""Laws, on real parts."""
