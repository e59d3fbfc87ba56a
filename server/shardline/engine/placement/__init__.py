"""Which layers go on which device, before any weight is read."""
