"""The read-only time of this project beside that of the documented procedure and of the shortest there can be."""
