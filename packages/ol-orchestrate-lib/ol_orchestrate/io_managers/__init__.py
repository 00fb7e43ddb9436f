"""IO managers for files in folders and buckets.

- `filepath.py`: files of the landing zone; `gcs.py`: source files, which another party puts into a bucket.
"""
