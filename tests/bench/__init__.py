"""Measurements that anyone can run: `make bench`. Compare ratios within one run, never figures of two machines."""
