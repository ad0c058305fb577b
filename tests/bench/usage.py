"""What another process has used so far."""

import psutil


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time, of all its threads."""
    used = process.cpu_times()
    return float(used.user + used.system)


def resident_mb(process: psutil.Process) -> float:
    """Memory that it holds now, in MB (1,000,000 bytes)."""
    return float(process.memory_info().rss / 1e6)
