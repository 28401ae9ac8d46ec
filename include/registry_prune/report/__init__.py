"""What a run found, did and took, and the page that shows it."""
