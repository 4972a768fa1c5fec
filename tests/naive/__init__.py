"""Slow, exact twins of the routines in `interp`: whole forward passes, one hook at a time."""
