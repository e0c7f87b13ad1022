"""Sparse point clouds into dense ones: files, up-sampling, training, evaluation, pictures."""
