"""Ten minutes and a Debian of its own: `make test-server-install` alone asks for it."""

import os

collect_ignore_glob = [] if os.environ.get("SERVER_INSTALL") else ["test_*.py"]
