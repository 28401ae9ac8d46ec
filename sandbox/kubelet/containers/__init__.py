"""The containers of a pod: processes, environment, files, logs."""
