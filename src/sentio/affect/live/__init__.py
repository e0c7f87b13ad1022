"""Affect as it happens: what serves a stream while it runs."""
