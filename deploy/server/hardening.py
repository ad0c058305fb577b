"""What the units may do: as little as they work with. `systemd-analyze security` rates them; a test holds the rate."""

COMMON = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "DevicePolicy": "closed",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "ProtectProc": "invisible",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "RemoveIPC": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service",
    "SystemCallErrorNumber": "EPERM",
    "UMask": "0077",
    "KeyringMode": "private",
}

LOOPBACK = {"IPAddressDeny": "any", "IPAddressAllow": "localhost"}
"""For servers that nobody from outside has to reach, and that reach nobody outside."""

NO_FURTHER_CALLS = {"SystemCallFilter": "~@privileged @resources @mount @debug"}
"""Java sets the priority of its threads with calls of @resources, which then fail without harm."""
