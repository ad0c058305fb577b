"""One server without containers: Kafka, the registry, Connect and the workers as systemd units under one target.

layout.py      where everything is, and on which ports; below another root for tests
units.py       the units, hardened; hardening.py what each may do
files.py       every file that the installer writes, as text
installer.py   install, upgrade, uninstall
waiting.py     until a server serves
__main__.py    the command `cel2crm-server`
"""
