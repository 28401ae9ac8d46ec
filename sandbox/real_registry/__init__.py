"""Registry pods that serve: Debian's ``docker-registry`` as their main process."""
