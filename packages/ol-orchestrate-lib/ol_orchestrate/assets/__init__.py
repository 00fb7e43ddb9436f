"""Assets that several code locations use."""
