"""``dockerregistry`` in a pod: what it is asked, what it prints, whether it lives."""
