"""Scenario files: model, loading with located errors, JSON Schema."""
