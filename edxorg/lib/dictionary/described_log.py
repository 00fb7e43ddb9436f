"""The events of tracking logs: the keys that edX's own documentation names; days have others, and they land too."""

from __future__ import annotations

from typing import Final

from edxorg.lib.object_keys import TRACKING_LOGS
from ol_orchestrate.lib.dictionary import Format, Output, columns_of

TRACKING_LOG: Final = Output(
    TRACKING_LOGS,
    "An act of a user on the site, or of the site for a user.",
    columns_of(
        """
        username         string Name of the account; empty where nobody was logged in.
        event_type       string Type of the event; where the server notes a request, its path.
        ip               string Address that the request came from; empty for events of the server's own.
        agent            string Browser or app, as it calls itself.
        host             string Site that was asked, such as `courses.edx.org`.
        session          string Session: 32 characters; empty for mobile apps and tasks.
        referer          string Page that the request came from; since 2015.
        accept_language  string Languages that the browser asks for; since 2015.
        event            json   What happened; its form depends on the type, and may be JSON in a text.
        event_source     string `browser`, `server`, `mobile` or `task`.
        context          json   Course, organization, account, path and more, where they are known.
        time             string When it happened, `YYYY-MM-DD HH:MM:SS.ffffff` in UTC.
        name             string Type of the event, in place of `event_type` where it is there; since 2014.
        page             string Of an event of the browser: the page's address.
        label            string Of some events of early mobile apps: a word for statistics.
        nonInteraction   string Of some events of early mobile apps: whether nobody did anything.
        _id              json   Number of the event in MongoDB, in logs that went through it.
        roles            json   Roles of the account, in logs of some servers.
        environment      string Name of the servers that wrote it, in logs of some of them.
        minion_id        string Name of the server that wrote it, in logs of some of them.
        """,
        "edX Research Guide: Events in the Tracking Logs",
    ),
    Format.GZIPPED_JSON_LINES,
)
"""All values are text, or `null`; the type `json` says that the text is JSON."""
