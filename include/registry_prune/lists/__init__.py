"""Lists of blobs: their form, their place, and how two of them differ."""
