"""Affect from faces and voices: valence, arousal, expression and action units, frame by frame."""
