"""One server installed from a wheel, under systemd in a container of its own: `make test-server-install`.

inside.py is what runs in the container, as an administrator would give the commands.
"""
