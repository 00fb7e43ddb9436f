"""IO managers for files in folders and buckets."""
