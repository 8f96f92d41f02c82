"""What a run leaves on disk: its directory, its checkpoints, and what it takes to resume from them."""
