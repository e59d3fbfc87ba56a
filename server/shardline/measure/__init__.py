"""Programs that judge the rest: speed, quality and typing."""
