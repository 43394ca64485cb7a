"""Crystallography: space groups, Wyckoff positions, symmetry, lattices."""
