"""Made data with exact labels."""
