"""Only where it is asked for: Flink is 155 MB of jars."""

import os

collect_ignore = [] if os.environ.get("TEST_FLINK") else ["test_flink_servers.py"]
