"""Faces in a video: find, follow, align, assess their quality. `tracking.FaceTracker` joins these."""
