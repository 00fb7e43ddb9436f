"""A client of the API of an Open edX deployment, edX.org's Discovery API included.

- `client.py`: the requests; `session.py`: sends them with a token; `transport.py`: waits and retries;
- `credentials.py`: addresses, and the OAuth client.
"""

from ol_orchestrate.lib.openedx_api.client import CourseExports, ExportStatus, OpenEdxApi, Page
from ol_orchestrate.lib.openedx_api.credentials import ApiCredentials
from ol_orchestrate.lib.openedx_api.session import ApiSession
from ol_orchestrate.lib.openedx_api.transport import Clock, Timeouts

__all__ = ["ApiCredentials", "ApiSession", "Clock", "CourseExports", "ExportStatus", "OpenEdxApi", "Page", "Timeouts"]
