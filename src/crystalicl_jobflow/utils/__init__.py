"""Helpers that know no crystal."""
