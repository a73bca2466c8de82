"""The peers that are measured beside the engine: each a small program as its users write it."""
