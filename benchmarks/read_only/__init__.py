"""The read-only time of this project, of the documented procedure by hand, and the shortest there can be."""
