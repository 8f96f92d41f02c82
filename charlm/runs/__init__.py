"""The files of a run: its directory, its checkpoints, its configuration, and resumption from them."""
