"""Engines over other people's servers: our prompts and stop rules in front of them. No torch is imported here."""
