"""Resources that read secrets.

- `vault.py`: HashiCorp Vault.
"""
