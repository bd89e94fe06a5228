"""Planning and running trials."""
