"""Reads and writes objects alike in a folder, in S3 and in Google Cloud Storage.

`open_store` takes a URL (`file://`, `s3://` or `gs://`, with a prefix if one likes) and gives an `ObjectStore`:

- `find` and `list` say what is there; `write` puts an object whole or not at all, checked by the store;
- `read` streams an object, resumes where a connection broke, and checks the bytes against the store's own checksum;
- `StorePath.of` gives the object as a `UPath` for code that reads those.

Making a store connects to nothing and reads no credentials; the first request does.

- `base.py`: what all stores do, and the names of what they give;
- `path.py`: the path object, `StorePath`;
- `folder_store.py`, `s3_store.py`, `gcs_store.py`: a module for each kind; `s3_listing.py`: checks of S3's listings;
- `cloud.py`: what S3 and Cloud Storage have in common;
- `opening.py`: from a URL to its store; `access.py`: the credentials and settings for it;
- `reading.py`: verified reading; `checksums.py`: the checksums that stores announce;
- `response_errors.py`: errors for the responses of stores;
- `certificate_authorities.py`: the authorities that an operator trusts; `budget.py`: the memory that uploads share;
- `asking.py`: what child processes ask their parent.
"""

from ol_orchestrate.lib.stores.access import StoreAccess
from ol_orchestrate.lib.stores.base import ObjectStore, StoredObject, join_url, split_url
from ol_orchestrate.lib.stores.budget import UploadBudget
from ol_orchestrate.lib.stores.opening import SharedStore, open_store, shared_store
from ol_orchestrate.lib.stores.reading import SourceInfo, VerifiedReader

__all__ = [
    "ObjectStore",
    "SharedStore",
    "SourceInfo",
    "StoreAccess",
    "StoredObject",
    "UploadBudget",
    "VerifiedReader",
    "join_url",
    "open_store",
    "shared_store",
    "split_url",
]
