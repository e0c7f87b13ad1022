"""What both domains share: errors, weights, recipes, tables, training. It knows nothing of faces or points."""
