"""The affect systems, one file each; they are imported by name through the registry only."""
