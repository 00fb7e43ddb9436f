"""Dagster resources. Each holds addresses and names, never a secret, and makes its client at first use.

- `secrets`: Vault; `service_account.py`: a service account of Google that Vault keeps; `gcp_gcs.py`: Cloud Storage;
- `openedx.py`: the API of an Open edX deployment;
- `outputs.py`: folders for the files of a run;
- `strict.py`: refuses unknown arguments.
"""
