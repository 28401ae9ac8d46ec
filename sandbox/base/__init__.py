"""What every room needs: errors, names, paths, settings."""
