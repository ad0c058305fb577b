"""The chaos suite: the whole pipeline on real servers under faults, with recorded calls flowing all the time.

`make chaos` runs each fault alone, `make chaos MINUTES=60` faults at random. After each one, every call that was
inserted must stand in each portal once with the right status, or be named to the operator with a command that heals it.
"""
