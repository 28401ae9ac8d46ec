"""Fills a registry with images, and with orphans of every cause."""
