#!/bin/sh
# Debian's python3 comes without venv: install it where this may be done, else say how.
set -eu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing the system package python3-venv"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt-get -q update >/dev/null
    apt-get -q -y --no-install-recommends install python3-venv >/dev/null
else
    echo "Python's venv module is missing. As root: apt-get install python3-venv" >&2
    exit 2
fi
