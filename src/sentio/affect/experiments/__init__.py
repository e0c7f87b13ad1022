"""The claims of the affect systems' papers, one file each; found by name through ``core.experiments`` only."""
