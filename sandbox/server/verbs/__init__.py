"""What a request does: get, list, watch, create, update, patch, delete, and the subresources."""
