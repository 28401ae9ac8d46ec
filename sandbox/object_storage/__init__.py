"""A real S3 to run against: moto's server on loopback, with a latency and faults to order."""
