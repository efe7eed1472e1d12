"""StoragePool, Volume and Template."""
