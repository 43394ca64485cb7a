"""Maggma Builders."""
