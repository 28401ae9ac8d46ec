"""The documented delete: it lives in a registry pod, and others follow it there."""
