"""Resources that read secrets."""
