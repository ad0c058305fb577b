"""An upgrade from an earlier version: state that it wrote, as stored bytes, taken up by this one."""
