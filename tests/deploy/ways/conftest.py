"""These tests want tools that stand in no environment of developers: `make test-ways` has one of its own."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("kubernetes_validate") and find_spec("build") else ["test_*.py"]
