"""Editor without a screen, for the demo and for measuring."""
