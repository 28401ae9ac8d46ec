"""What many clusters in one file cost each other."""
