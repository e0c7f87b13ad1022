"""What a run leaves and shows: tables, pictures, pages, films and annotations, in a result folder. Imports no torch."""
