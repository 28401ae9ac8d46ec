"""What a run found, did and took."""
