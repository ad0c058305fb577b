"""An Iceberg lake on real servers, read by readers that are not ours: `make test-lake`."""
