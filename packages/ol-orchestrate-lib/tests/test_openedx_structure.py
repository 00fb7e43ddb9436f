"""Reading a course structure, and the rows that are made from it."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx import (
    BrokenDocumentError,
    CourseStructure,
    CourseStructureError,
    read_course_structure,
    structure_outputs,
)

Document = dict[str, Any]

COURSE_ID = "MITx-6.00x-2024"


def structure_of(document: object) -> CourseStructure:
    return read_course_structure(io.BytesIO(json.dumps(document).encode()), name="structure.json")


def rows(structure: CourseStructure, output: str) -> list[dict[str, Any]]:
    outputs = structure_outputs(structure, course_id=COURSE_ID, source_system="edge")
    return [json.loads(line) for line in b"".join(outputs[output].chunks("2024-05-06")).splitlines()]


def entry(category: str, *children: str, **metadata: object) -> Document:
    return {"category": category, "children": list(children), "metadata": metadata}


def sha256(document: object) -> str:
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def pairs_of(line: bytes) -> list[list[tuple[str, Any]]]:
    """The members of each object in a line, so that names that come twice are seen."""
    found: list[list[tuple[str, Any]]] = []

    def keep(pairs: list[tuple[str, Any]]) -> Document:
        found.append(pairs)
        return dict(pairs)

    json.loads(line, object_pairs_hook=keep)
    return found


DOCUMENT = {
    "a/html": entry("html", display_name="Page"),
    "b/chapter": entry("chapter", "d/sequential", "a/html", due="2024-03-01", start="2024-02-01"),
    "c/course": entry("course", "b/chapter", "library/gone", display_name="T", start="2024-01-01"),
    "d/sequential": entry("sequential"),
    "e/orphan": entry("vertical", "f/below"),
    "f/below": entry("html", grading={"weight": 1.5, "nothing": {}}),
}


class TestRows:
    def test_course_blocks_has_rows_in_reading_order(self) -> None:
        found = rows(structure_of(DOCUMENT), "course_blocks")
        assert [(row["block_id"], row["block_index"], row["block_parent"]) for row in found] == [
            ("c/course", 1, None),
            ("b/chapter", 2, "c/course"),
            ("d/sequential", 3, "b/chapter"),
            ("a/html", 4, "b/chapter"),
            ("e/orphan", 0, None),
            ("f/below", 0, "e/orphan"),
        ]
        assert found[1] == {
            "block_content_hash": sha256(DOCUMENT["b/chapter"]),
            "block_details": DOCUMENT["b/chapter"],
            "block_due": "2024-03-01",
            "block_id": "b/chapter",
            "block_index": 2,
            "block_parent": "c/course",
            "block_start": "2024-02-01",
            "block_title": None,
            "block_type": "chapter",
            "course_content_hash": sha256(DOCUMENT),
            "course_id": COURSE_ID,
            "source_system": "edge",
            "course_start": "2024-01-01",
            "course_title": "T",
            "retrieved_at": "2024-05-06",
        }

    def test_flattened_course_structure_has_one_row_with_joined_keys(self) -> None:
        (row,) = rows(structure_of(DOCUMENT), "flattened_course_structure")
        flat = row.pop("course_structure_flattened")
        assert row == {
            "content_hash": sha256(DOCUMENT),
            "course_id": COURSE_ID,
            "source_system": "edge",
            "course_structure": DOCUMENT,
            "retrieved_at": "2024-05-06",
        }
        assert flat["b/chapter__children"] == ["d/sequential", "a/html"]
        assert flat["c/course__metadata__display_name"] == "T"
        assert flat["f/below__metadata__grading__weight"] == 1.5
        assert not any(isinstance(value, dict) for value in flat.values())
        assert "f/below__metadata__grading__nothing" not in flat

    def test_a_document_of_many_blocks_is_written_as_one_of_few(self) -> None:
        document = {str(number): entry("html", title=f"Größe {number}") for number in range(1_001)} | DOCUMENT
        structure = structure_of(document)
        outputs = structure_outputs(structure, course_id=COURSE_ID, source_system="edge")
        chunks = list(outputs["flattened_course_structure"].chunks("then"))
        assert len(chunks) > 10
        flat = {
            f"{key}__{name}": value
            for key, details in document.items()
            for name, value in (("category", details["category"]), ("children", details["children"]))
        }
        row = json.loads(b"".join(chunks))
        assert row["course_structure"] == document
        assert list(row["course_structure"]) == list(document)
        assert flat.items() <= row["course_structure_flattened"].items()
        assert b"".join(chunks) == json.dumps(row, ensure_ascii=False).encode() + b"\n"
        assert [chunk.endswith(b"\n") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert structure.content_hash == sha256(document)

    def test_keys_that_are_alike_when_joined_stand_once_with_the_last_value(self) -> None:
        document = {
            "a": {"category": "course", "b": {"c": 1}, "b__c": 2},
            "a_": {"_category": "x"},
            "many": {str(number): number for number in range(1_000)},
            "a__b": {"c": 3},
        }
        (line,) = b"".join(
            structure_outputs(structure_of(document), course_id=COURSE_ID, source_system="edge")[
                "flattened_course_structure"
            ].chunks("then")
        ).splitlines()
        (flat,) = [dict(pairs) for pairs in pairs_of(line) if ("a__category", "course") in pairs]
        many = {f"many__{number}": number for number in range(1_000)}
        assert flat == {"a__category": "course", "a__b__c": 3, "a____category": "x"} | many
        assert [len(dict(pairs)) for pairs in pairs_of(line)] == [len(pairs) for pairs in pairs_of(line)]

    def test_hashes_are_of_the_keys_in_the_order_of_the_file(self) -> None:
        swapped = dict(reversed(DOCUMENT.items()))
        assert structure_of(swapped).content_hash == sha256(swapped) != sha256(DOCUMENT)
        assert structure_of({"ü": entry("course")}).content_hash == sha256({"ü": entry("course")})

    def test_versions_ignore_the_time(self) -> None:
        outputs = structure_outputs(structure_of(DOCUMENT), course_id=COURSE_ID, source_system="edge")
        assert len({output.data_version() for output in outputs.values()}) == 2
        for output in outputs.values():
            content = b"".join(output.chunks("then")).replace(b', "retrieved_at": "then"', b"")
            assert output.data_version() == hashlib.sha256(content).hexdigest()


class TestOddStructures:
    def test_children_that_are_missing_take_no_index(self) -> None:
        structure = structure_of(DOCUMENT)
        assert [tuple(reference) for reference in structure.missing] == [("c/course", "library/gone")]
        assert structure.problems == ()

    def test_a_cycle_ends_and_is_reported(self) -> None:
        document = {"a": entry("course", "b"), "b": entry("chapter", "c"), "c": entry("vertical", "b", "c", "a")}
        structure = structure_of(document)
        assert [block.index for block in structure.blocks] == [1, 2, 3]
        assert [problem.what[:7] for problem in structure.problems] == ["a cycle"] * 3

    def test_blocks_of_a_cycle_without_a_parent_have_rows(self) -> None:
        structure = structure_of({"a": entry("course"), "b": entry("chapter", "c"), "c": entry("vertical", "b")})
        assert [(block.block_id, block.index) for block in structure.blocks] == [("a", 1), ("b", 0), ("c", 0)]

    def test_orphans_stand_below_their_top_wherever_the_file_has_it(self) -> None:
        structure = structure_of({"a": entry("course"), "c": entry("html"), "b": entry("vertical", "c")})
        assert [(block.block_id, block.parent) for block in structure.blocks] == [("a", None), ("b", None), ("c", "b")]
        assert structure.problems == ()

    def test_repeated_children_have_their_first_place(self) -> None:
        document = {"a": entry("course", "b", "c", "b"), "b": entry("chapter"), "c": entry("chapter", "b")}
        structure = structure_of(document)
        assert [(block.block_id, block.index, block.parent) for block in structure.blocks] == [
            ("a", 1, None),
            ("b", 2, "a"),
            ("c", 3, "a"),
        ]
        assert [problem.what[:12] for problem in structure.problems] == ["a second use"] * 2

    def test_missing_keys_and_odd_values_are_reported_not_fatal(self) -> None:
        document = {
            "a": {"category": "course"},
            "b": {"children": "x", "metadata": []},
            "c": {"category": "html", "children": ["a", 3]},
            "d": None,
        }
        structure = structure_of(document)
        assert [(block.block_id, block.index, block.block_type) for block in structure.blocks] == [
            ("a", 1, "course"),
            ("b", 0, None),
            ("c", 0, "html"),
        ]
        assert [problem.what for problem in structure.problems] == [
            "b has no category",
            "d is no object; it is no block",
            "the children of b are no list of usage keys",
            "the children of c are no list of usage keys",
            "a second use: c lists a, left out there",
            "the metadata of b is no object",
        ]
        assert len(rows(structure, "course_blocks")) == 3

    def test_numbers_that_json_has_not_are_read_as_null_and_listed(self) -> None:
        text = b'{"a": {"category": "course", "metadata": {"weight": NaN, "deep": [-Infinity]}}}'
        structure = read_course_structure(io.BytesIO(text), name="structure.json")
        metadata = {"weight": None, "deep": [None]}
        assert structure.content_hash == sha256({"a": {"category": "course", "metadata": metadata}})
        assert rows(structure, "course_blocks")[0]["block_details"]["metadata"] == metadata
        assert [(problem.path, "there are 2" in problem.what) for problem in structure.problems] == [
            ("structure.json", True)
        ]

    def test_without_a_course_block_no_block_has_a_place(self) -> None:
        structure = structure_of({"a": entry("chapter", "b"), "b": entry("html")})
        found = rows(structure, "course_blocks")
        assert [(row["block_id"], row["block_index"], row["block_parent"]) for row in found] == [
            ("a", 0, None),
            ("b", 0, "a"),
        ]
        assert {row["course_title"] for row in found} == {None}
        assert structure.problems[0].what == "0 course blocks; so no block has a place"

    def test_of_several_course_blocks_the_last_one_counts(self) -> None:
        structure = structure_of(
            {"a": entry("course", "x"), "b": entry("course", display_name="B"), "x": entry("html")}
        )
        assert [(block.block_id, block.index) for block in structure.blocks] == [("b", 1), ("a", 0), ("x", 0)]
        assert {row["course_title"] for row in rows(structure, "course_blocks")} == {"B"}
        assert structure.problems[0].what == "2 course blocks; the last one counts"

    def test_a_block_may_have_any_key(self) -> None:
        assert len(structure_of({"blocks": entry("course")}).blocks) == 1

    def test_usage_keys_of_older_courses_are_read(self) -> None:
        course, chapter = "i4x://MITx/6.00x/course/2012_Fall", "i4x://MITx/6.00x/chapter/Week_1"
        structure = structure_of({chapter: entry("chapter"), course: entry("course", chapter)})
        assert [(block.block_id, block.parent) for block in structure.blocks] == [(course, None), (chapter, course)]

    def test_any_depth_of_blocks_is_read(self) -> None:
        depth = 20_000
        document = {str(n): entry("vertical", str(n + 1)) for n in range(1, depth)}
        structure = structure_of({"0": entry("course", "1"), **document})
        assert structure.blocks[-1].index == depth
        assert len(list(rows(structure, "course_blocks"))) == depth


class TestNoStructures:
    @pytest.mark.parametrize(
        ("document", "what"),
        [
            (
                {"course_id": "x", "root": "a", "blocks": {"a": {"category": "course"}}},
                "shape of the course blocks API",
            ),
            ({"root": "a", "blocks": {}}, "shape of the course blocks API"),
            ({"course_id": "x", "blocks": {"a": {"category": "course"}}}, "shape of the course blocks API"),
            ([], "a JSON list"),
            (None, "a JSON null"),
            ("text", "a JSON str"),
            ({}, "an empty object"),
            ({"a": 1}, r"no entry has a category \(a\)"),
            (dict.fromkeys("gfedcba"), r"no entry has a category \(a, b, c, d, e\)"),
            ({"k" * 300: 1}, rf"no entry has a category \({'k' * 200}\)"),
            ({"a": {"children": []}}, "no entry has a category"),
        ],
    )
    def test_a_document_of_another_kind_is_an_error_that_says_what_it_is(self, document: object, what: str) -> None:
        with pytest.raises(CourseStructureError, match=f"^structure.json .*{what}"):
            structure_of(document)

    @pytest.mark.parametrize(
        ("data", "place"),
        [
            (b'{"a":\n 1]', "structure.json:2:3: broken JSON"),
            (b'{"a":\n "\xff"}', "structure.json:2: broken JSON: byte 8 is no UTF-8"),
            (b'\n"\xff"', "structure.json:2: broken JSON: byte 2 is no UTF-8"),
            (b'{"a": ' + b"1" * 5_000 + b"}", "structure.json: broken JSON: Exceeds the limit"),
            (b"", "structure.json:1:1: broken JSON"),
            (b"[" * 100_000, "nested deeper than 100 levels"),
            (b'{"a":' * 150 + b"1" + b"}" * 150, "nested deeper than 100 levels"),
        ],
    )
    def test_broken_json_is_an_error_with_its_place(self, data: bytes, place: str) -> None:
        with pytest.raises(BrokenDocumentError, match=place.replace(".", r"\.")):
            read_course_structure(io.BytesIO(data), name="structure.json")

    def test_a_document_up_to_the_limit_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        document = {"a": entry("course")}
        size = len(json.dumps(document))
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_STRUCTURE_BYTES", size)
        assert structure_of(document).problems == ()
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_STRUCTURE_BYTES", size - 1)
        with pytest.raises(CourseStructureError, match="is larger than 0 MiB"):
            structure_of(document)

    def test_nesting_up_to_the_limit_is_read(self) -> None:
        deep: object = 1
        for _ in range(97):
            deep = {"d": deep}
        structure = structure_of({"a": {"category": "course", "metadata": deep}})
        assert len(rows(structure, "flattened_course_structure")) == 1

    def test_more_values_than_the_limit_are_refused_before_they_take_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_STRUCTURE_VALUES", 20)
        document = {"a": entry("course", x=[0] * 7)}
        assert structure_of(document).problems == ()
        marks = sum(map(json.dumps(document).count, ",:[{"))
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_STRUCTURE_VALUES", marks)
        assert structure_of(document).problems == ()
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_STRUCTURE_VALUES", marks - 1)
        with pytest.raises(BrokenDocumentError, match="values"):
            structure_of(document)
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_STRUCTURE_VALUES", 20)
        with pytest.raises(BrokenDocumentError, match=r"^structure\.json: it may hold more than 20 values"):
            structure_of({"a": entry("course", x=[0] * 20)})

    def test_keys_that_grow_too_long_when_joined_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        key = "k" * 100_000
        document = {"a": {"category": "course", "metadata": {key: dict.fromkeys("0123456789", 0)}}}
        joined = ["a__category", *(f"a__metadata__{key}__{number}" for number in range(10))]
        size = sum(map(sys.getsizeof, joined))
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_JOINED_BYTES", size)
        assert structure_of(document).problems == ()
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_JOINED_BYTES", size - 1)
        with pytest.raises(CourseStructureError, match=r"^structure\.json: its keys, joined .* more than 0 MiB"):
            structure_of(document)
        document["b"] = document["a"]
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_JOINED_BYTES", 1 << 20)
        with pytest.raises(CourseStructureError, match=r"take more than 1 MiB"):
            structure_of(document)

    def test_a_document_beyond_the_limit_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ol_orchestrate.lib.openedx.structure.MAX_STRUCTURE_BYTES", 100)
        with pytest.raises(BadInputError, match="larger than"):
            structure_of(DOCUMENT)

    def test_the_limit_of_a_document_is_told_in_mebibytes(self) -> None:
        with pytest.raises(CourseStructureError, match="is larger than 16 MiB"):
            read_course_structure(io.BytesIO(bytes((16 << 20) + 1)))


class TestSecrets:
    CANARY = "canary-91ce"

    def test_passports_are_in_no_output_and_in_no_hash(self) -> None:
        secret = [f"tool:key:{self.CANARY}"]
        metadata = {
            "display_name": "T",
            "lti_passports": secret,
            "other": [{"lti_passports": secret, "kept": 1}],
            "text": json.dumps({"lti_passports": secret}),
        }
        document = {"a": entry("course", "b", **metadata), "b": entry("html", lti_passports=secret[0])}
        clean = {
            "a": entry("course", "b", display_name="T", other=[{"kept": 1}], text="{}"),
            "b": entry("html"),
        }
        structure = structure_of(document)
        outputs = structure_outputs(structure, course_id=COURSE_ID, source_system="prod")
        for output in outputs.values():
            assert self.CANARY.encode() not in b"".join(output.chunks("now"))
        assert self.CANARY not in repr(structure)
        assert structure.content_hash == sha256(clean)
        assert [block.content_hash for block in structure.blocks] == [sha256(clean["a"]), sha256(clean["b"])]


class Numbered:
    """Gives each node of a nested list a key, in reading order."""

    def __init__(self) -> None:
        self.document: Document = {}
        self.order: list[str] = []

    def add(self, tree: list[Any]) -> str:
        key = f"block-v1:o+c+r+type@x+block@{len(self.order)}"
        self.order.append(key)
        self.document[key] = entry("vertical" if len(self.order) > 1 else "course")
        self.document[key]["children"] = [self.add(child) for child in tree]
        return key


@given(st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=5), max_leaves=40), st.randoms())
@settings(deadline=None)
def test_reading_order_is_depth_first_from_1(tree: list[Any], random: Any) -> None:  # noqa: ANN401 - hypothesis' Random
    numbered = Numbered()
    numbered.add(tree)
    items = list(numbered.document.items())
    random.shuffle(items)
    structure = structure_of(dict(items))
    assert [block.block_id for block in structure.blocks] == numbered.order
    assert [block.index for block in structure.blocks] == list(range(1, len(numbered.order) + 1))
    for block in structure.blocks[1:]:
        assert block.parent is not None
        assert block.block_id in numbered.document[block.parent]["children"]


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"),
        st.fixed_dictionaries(
            {"category": st.sampled_from(["course", "html"]), "children": st.lists(st.sampled_from("abcdefghxy"))}
        ),
        min_size=1,
    )
)
@settings(deadline=None)
def test_any_graph_gives_each_block_one_row(document: Document) -> None:
    structure = structure_of(document)
    assert sorted(block.block_id for block in structure.blocks) == sorted(document)
    places = [block.index for block in structure.blocks if block.index]
    assert places == list(range(1, len(places) + 1))
    missing = [child for details in document.values() for child in details["children"] if child not in document]
    assert sorted(reference.child for reference in structure.missing) == sorted(missing)
