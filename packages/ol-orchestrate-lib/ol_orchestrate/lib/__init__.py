"""Plain functions and types. No module here imports Dagster.

- `stores`: objects in folders, S3 and Cloud Storage;
- `versions.py`: decides what is written and recorded; `settling.py`: makes the current version the newest object;
- `archive_files.py`: archives in any format; `archives.py`: gzip, and the errors of archives; `tar.py`,
  `tar_headers.py`, `zip_archives.py`: a format each; `openpgp.py`: what is encrypted as a whole;
- `openedx`: course exports and course structures; `openedx_api`: the API of a deployment;
- `record_tags.py`: the tags of materializations;
- `course_partition.py`: a course on a site; `course_content_keys.py`: keys of the outputs made from courses;
- `spool.py`, `record_spool.py`: bytes and records that wait, on disk once they are many; `disk_copy.py`: a file there;
- `errors.py`: the errors that pipelines raise; `http_status.py`: which responses are transient; `retrying.py`: retries;
  `time_limit.py`: work that may be late;
- `failure_causes.py`: the cause that failures have in common; `notifying.py`: messages to operators;
- `reconciled_copies.py`: copies of all objects below a URL;
- `webhook.py`: signed messages; `json_template.py`: messages from a template;
- `vault_client.py`: a client of Vault; `redaction.py`: texts without secrets; `addresses.py`: addresses without
  credentials;
- `private_folders.py`: folders for data of learners;
- `batching.py`: batches of items;
- `dictionary.py`: the form of the data dictionary; `markdown.py`, `shortening.py`: texts and lists in messages.
"""
