"""Aff-Wild2, s-Aff-Wild2 and LSD as they are published: read, checked, cut into windows, stored as features."""
