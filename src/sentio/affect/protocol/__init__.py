"""The official protocol: predictions, scores, thresholds, smoothing, submissions."""
