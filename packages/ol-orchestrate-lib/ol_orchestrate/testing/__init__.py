"""Servers and certificates for the tests of code locations.

- `servers.py`: S3, Cloud Storage and Vault, as a pytest plugin; `scripted.py`: a server with responses of the test;
- `store_answers.py`: such responses of stores; `loopback_api.py`: an Open edX API; `course_exports.py`: small courses;
- `loopback_certificates.py`: certificates for servers; `openpgp_keys.py`: keys and encrypted messages;
- `supervise.py`: ends a server when its test is gone.
"""
