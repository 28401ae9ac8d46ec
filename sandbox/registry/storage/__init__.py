"""The registry's folder of blobs and links, and what lies in it."""
