"""Storage: pools, volumes and templates, their records and their contents."""
