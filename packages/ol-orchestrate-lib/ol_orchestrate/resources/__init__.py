"""Dagster resources. Each holds addresses and names, never a secret, and makes its client at first use."""
