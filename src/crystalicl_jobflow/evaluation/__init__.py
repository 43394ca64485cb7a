"""Checks, metrics and their thresholds."""
