"""Instruction sets and model training."""
