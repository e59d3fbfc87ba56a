"""Public HTTP APIs."""
