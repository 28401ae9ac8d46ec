"""What runs on the sandbox's nodes: pods as real processes, commands in them, and their logs."""
