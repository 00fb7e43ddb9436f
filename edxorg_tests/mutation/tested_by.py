"""The modules of the pure core, the most dangerous first, and the tests that are to find their faults."""

from __future__ import annotations

_EDXORG = "edxorg/lib"
_LIBRARY = "packages/ol-orchestrate-lib/ol_orchestrate/lib"
_TESTS = "edxorg_tests/lib"
_OF_LIBRARY = "packages/ol-orchestrate-lib/tests"

_NAMES = (f"{_TESTS}/test_members.py",)
_KEYS = (f"{_TESTS}/test_object_keys.py", "edxorg_tests/test_reference_pages.py")
_DELIVERY = (f"{_OF_LIBRARY}/test_delivery.py",)
_TABLES = (
    f"{_TESTS}/tables/test_chunks.py",
    f"{_TESTS}/tables/test_conversion.py",
    f"{_TESTS}/tables/test_rejects.py",
    f"{_TESTS}/tables/test_rules.py",
    f"{_TESTS}/tables/test_reference_model.py",
)
_FORUM = (f"{_TESTS}/test_forum.py",)
_OLX = tuple(
    f"{_OF_LIBRARY}/test_openedx_{name}.py"
    for name in (
        "course",
        "field_exports",
        "hostile",
        "outputs",
        "passports",
        "policies",
        "sample_course",
        "structure",
    )
)

TESTS: dict[str, tuple[str, ...]] = {
    f"{_EDXORG}/members.py": _NAMES,
    f"{_EDXORG}/object_keys.py": _KEYS,
    f"{_LIBRARY}/course_content_keys.py": _KEYS,
    f"{_LIBRARY}/course_partition.py": _NAMES,
    f"{_LIBRARY}/versions.py": _DELIVERY,
    f"{_LIBRARY}/settling.py": _DELIVERY,
    f"{_EDXORG}/archive/ingestion.py": (f"{_TESTS}/archive/test_rules_of_ingestion.py",),
    **{
        f"{_EDXORG}/archive/{name}.py": (f"{_TESTS}/archive/test_{name}.py",)
        for name in (
            "member_writer",
            "member_sender",
            "reconciling",
            "member_conversion",
            "ingest_report",
            "pending",
            "marks",
            "column_changes",
        )
    },
    **{
        f"{_EDXORG}/tables/{name}.py": _TABLES
        for name in (
            "routing",
            "table_output",
            "escapes",
            "cutting",
            "chunks",
            "detection",
            "convert",
            "dialects/escaped",
            "dialects/mixed",
            "dialects/plain",
            "dialects/quoted",
            "dialects/reader",
        )
    },
    **{
        f"{_EDXORG}/tables/{name}.py": (f"{_TESTS}/tables/test_{name}.py",)
        for name in ("header", "table_records", "rfc4180", "line_sorting")
    },
    f"{_EDXORG}/tracking_log/exact_path.py": (
        f"{_TESTS}/tracking_log/test_exact_path.py",
        f"{_TESTS}/tracking_log/test_normalize_block.py",
    ),
    **{
        f"{_EDXORG}/tracking_log/{name}.py": (f"{_TESTS}/tracking_log/test_{name}.py",)
        for name in (
            "fast_path",
            "event_time",
            "log_blocks",
            "log_output",
            "log_rejects",
            "log_report",
            "normalize",
            "normalize_block",
        )
    },
    f"{_EDXORG}/forum.py": _FORUM,
    **{
        f"{_LIBRARY}/openedx/{name}.py": _OLX
        for name in (
            "safe_xml",
            "safe_json",
            "tree",
            "reading_order",
            "blocks",
            "olx",
            "structure",
            "policies",
            "passports",
            "static_assets",
            "export_files",
        )
    },
}
