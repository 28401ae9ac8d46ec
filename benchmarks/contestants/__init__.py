"""Who prunes: this project, the documented procedure by hand, the limit. And what each does to pushes meanwhile."""
