"""What the processes of the hub count and tell of themselves, put together in Redis for `/metrics`."""
