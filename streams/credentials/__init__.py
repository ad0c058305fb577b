"""OAuth tokens of portals: what they are, how they are kept, who may refresh them."""
