"""Tracks of points or meshes back to curves: the inverse of a head's deformation."""
