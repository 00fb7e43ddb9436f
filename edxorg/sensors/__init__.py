"""What starts jobs by itself, one subject a module."""
