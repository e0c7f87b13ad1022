"""The product: media become tables. Imports no torch."""
