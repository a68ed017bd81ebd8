"""Frozen rows and inputs, one file per domain."""
