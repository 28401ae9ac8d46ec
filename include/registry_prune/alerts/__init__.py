"""What people hear of, and by which channel."""
