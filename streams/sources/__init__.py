"""Where a command's CEL rows come from beside files: the PBX's database, and the cel topic. Only ever read."""
