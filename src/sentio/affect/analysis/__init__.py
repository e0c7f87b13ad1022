"""From media to rows of the table. Imports no torch."""
