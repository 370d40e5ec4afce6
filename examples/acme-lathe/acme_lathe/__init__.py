"""A technique for Lathe: what its spec says is in `specs`, what it does in `palette`."""
