"""Every question of the documentation is answered by an index, and rightly."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.candidates import (
    CANDIDATE_INDEXES,
    CandidateQuery,
    count_documents,
    find_documents,
    find_structures,
    index_for,
    open_candidate_store,
    read_document,
)
from crystalicl_jobflow.candidates.candidate_query import field_name
from crystalicl_jobflow.candidates.indexes import ensure_indexes
from crystalicl_jobflow.cli.query import query as query_command
from crystalicl_jobflow.cli.query import read_query
from crystalicl_jobflow.schemas import ConditionError
from crystalicl_jobflow.stores import write_documents
from crystalicl_jobflow.utils.errors import CrystalICLError
from made_up import synthetic_documents

DOCS = Path(__file__).resolve().parents[2] / "docs"
COUNT = 300


@pytest.fixture(scope="module")
def documents() -> list[dict]:
    return list(synthetic_documents(COUNT, seed=1))


@pytest.fixture(scope="module", params=["memory:", "candidates.sqlite"])
def store(request, tmp_path_factory, documents):
    name = request.param
    if name != "memory:":
        name = str(tmp_path_factory.mktemp("stores") / name)
    opened = open_candidate_store(name)
    write_documents(opened, documents)
    return opened


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, documents):
    opened = open_candidate_store(str(tmp_path_factory.mktemp("stores") / "candidates.sqlite"))
    write_documents(opened, documents)
    return opened


def has(name, value):
    return lambda d: d[name] == value


QUESTIONS = {
    "formula": ({"formula": "O3CaTi"}, has("formula_pretty", "CaTiO3")),
    "anonymous": ({"anonymous_formula": "ABX3"}, has("formula_anonymous", "ABC3")),
    "chemsys": ({"chemsys": "Na-Cl"}, has("chemsys", "Cl-Na")),
    "systems": ({"chemsys": "Na-Cl,Ca-O-Ti"}, lambda d: d["chemsys"] in ("Cl-Na", "Ca-O-Ti")),
    "elements": ({"elements": "Ca,O"}, lambda d: {"Ca", "O"} <= set(d["elements"])),
    "without": (
        {"elements": "O", "without_elements": ["Ti", "Cl"]},
        lambda d: "O" in d["elements"] and not {"Ti", "Cl"} & set(d["elements"]),
    ),
    "only": (
        {"only_elements": "Ca,Ti,O"},
        lambda d: d["elements"] and set(d["elements"]) <= {"Ca", "Ti", "O"},
    ),
    "group": ({"space_group": "Pm-3m"}, lambda d: d["symmetry"]["number"] == 221),
    "groups": ({"space_group": [221, 225]}, lambda d: d["symmetry"]["number"] in (221, 225)),
    "system": ({"crystal_system": "cubic"}, lambda d: d["symmetry"]["crystal_system"] == "Cubic"),
    "nelements": ({"num_elements": "2:3"}, lambda d: 2 <= d["nelements"] <= 3),
    "nsites": ({"num_sites": 5}, has("nsites_primitive", 5)),
    # values that equal the bound: 5 atoms are many
    "more": ({"criteria": {"nsites": {"$gt": 5}}}, lambda d: (d["nsites"] or 0) > 5),
    "at least": ({"criteria": {"nsites": {"$gte": 5}}}, lambda d: (d["nsites"] or 0) >= 5),
    "fewer": ({"criteria": {"nsites": {"$lt": 5}}}, lambda d: (d["nsites"] or 9) < 5),
    "at most": ({"criteria": {"nsites": {"$lte": 5}}}, lambda d: (d["nsites"] or 9) <= 5),
    "valid": ({"valid": True}, has("valid", True)),
    "invalid": ({"valid": False}, has("valid", False)),
    "stable": ({"stable": True}, has("is_stable", True)),
    "stable, novel": (
        {"stable": True, "novel": True},
        lambda d: d["is_stable"] is True and d["is_novel"] is True,
    ),
    "known": ({"novel": False}, has("is_novel", False)),
    "duplicate": ({"unique": False}, has("is_unique", False)),
    "energy": (
        {"properties": {"energy_above_hull": ":0.1"}},
        lambda d: d["energy_above_hull"] is not None and d["energy_above_hull"] <= 0.1,
    ),
    "alias": (
        {"properties": {"energy_above_hull": (0.1, 0.2)}},
        lambda d: d["energy_above_hull"] is not None and 0.1 <= d["energy_above_hull"] <= 0.2,
    ),
    "negative": (
        {"properties": {"formation_energy": "-2:-1"}},
        lambda d: (
            d["formation_energy_per_atom"] is not None
            and -2 <= d["formation_energy_per_atom"] <= -1
        ),
    ),
    "run": ({"run": "run-1"}, lambda d: "run-1" in d["run_ids"]),
    "reason": ({"failure_reason": "atoms_overlap"}, has("failure_reason", "atoms_overlap")),
    "criteria": ({"criteria": {"stage": "validated", "valid": True}}, has("valid", True)),
    "all": ({}, lambda d: True),
}


@pytest.mark.parametrize("asked", QUESTIONS)
def test_candidates_are_found_by_what_they_are(store, documents, asked):
    fields, meets = QUESTIONS[asked]
    expected = {d["candidate_id"] for d in documents if meets(d)}
    assert expected, "the question finds nothing: the test would say nothing"
    assert asked == "all" or len(expected) < COUNT
    query = CandidateQuery(**fields)
    assert {d["candidate_id"] for d in find_documents(store, query)} == expected
    assert count_documents(store, query) == len(expected)


@pytest.mark.parametrize(
    "criteria",
    [
        {"$where": "__import__('os').system('true')"},
        {"$or": [{"valid": True}, {"$and": [{"$where": "1"}]}]},
        {"nsites": {"$not": {"$where": "1"}}},
        {"$expr": {"$function": {"body": "1", "args": [], "lang": "js"}}},
        {"density": {"$elemMatch": {"$accumulator": {}}}},
    ],
    ids=["top", "within or", "within not", "expr", "accumulator"],
)
def test_criteria_that_run_code_are_refused(criteria):
    with pytest.raises(CrystalICLError, match="are refused: it runs code") as caught:
        CandidateQuery(criteria=criteria)
    assert isinstance(caught.value, ValueError)


def test_ids_are_found_by_their_beginnings(store, documents):
    wanted = documents[7]["candidate_id"]
    for name in (wanted, wanted[:10]):
        found = list(find_documents(store, CandidateQuery(candidate_ids=name)))
        assert [d["candidate_id"] for d in found] == [wanted]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["energy_above_hull", "density", "nsites"])
def test_pages_put_together_are_everything_with_missing_values_last(store, sort, descending):
    whole = list(find_documents(store, sort=sort, descending=descending))
    assert len(whole) == COUNT
    values = [d[sort] for d in whole]
    known = [value for value in values if value is not None]
    assert values[: len(known)] == sorted(known, reverse=descending)
    pages = [
        d
        for start in range(0, COUNT + 50, 50)
        for d in find_documents(
            store, sort=sort, descending=descending, limit=50, skip=start, fields=[sort]
        )
    ]
    assert [d[sort] for d in pages] == values
    assert len({d["candidate_id"] for d in pages}) == COUNT


def test_projections_have_the_fields_and_the_id(store):
    (found,) = find_documents(store, fields=["formula", "symmetry.number"], limit=1)
    assert set(found) == {"candidate_id", "formula_pretty", "symmetry"}
    assert set(found["symmetry"]) == {"number"}


def test_crystals_are_pymatgens(store, documents):
    wanted = next(d for d in documents if d["structure"] is not None)
    ((name, crystal),) = find_structures(
        store, CandidateQuery(candidate_ids=wanted["candidate_id"])
    )
    assert name == wanted["candidate_id"]
    assert crystal.composition.reduced_formula == wanted["formula_pretty"]


def test_every_document_is_of_the_schema(store):
    found = list(find_documents(store, limit=20))
    assert len(found) == 20
    for document in found:
        read = read_document(document)
        assert (read.candidate_id, read.nsites) == (document["candidate_id"], document["nsites"])
        assert (read.structure is None) == (document["structure"] is None)
        if read.structure is not None:
            assert read.structure.composition.reduced_formula == document["formula_pretty"]


@given(
    st.fixed_dictionaries({}, optional={
        "elements": st.sampled_from(["Ca", "O", "Ca,O"]), "without_elements": st.just("Cl"),
        "valid": st.booleans(), "stable": st.booleans(), "novel": st.booleans(),
        "space_group": st.sampled_from([221, [221, 225]]), "num_elements": st.just("2:3"),
        "properties": st.sampled_from([{"energy_above_hull": ":0.1"}, {"density": (2.0, 4.0)}]),
    }),
    st.sampled_from([None, "energy_above_hull", "density"]), st.booleans(),
)  # fmt: skip
def test_the_indexed_store_finds_what_the_plain_one_finds(asked, sort, descending):
    plain, indexed = _both()
    query = CandidateQuery(**asked)
    found = [
        [d["candidate_id"] for d in find_documents(store, query, sort=sort, descending=descending)]
        for store in (plain, indexed)
    ]
    assert sorted(found[0]) == sorted(found[1])
    assert indexed.count(query.mongo_criteria) == len(found[0])


_STORES: list = []


def _both():
    if not _STORES:
        for name in ("memory:", "sqlite"):
            made = (
                open_candidate_store("memory:")
                if name == "memory:"
                else open_candidate_store({"type": "SQLiteStore", "path": ":memory:"})
            )
            write_documents(made, list(synthetic_documents(120, seed=2)))
            _STORES.append(made)
    return _STORES


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"formula": "Xx"}, "Xx"),
        ({"without_elements": "Q"}, "'Q' is not an element"),
        ({"elements": "Ca", "without_elements": "Ca"}, "asked for and excluded"),
        ({"crystal_system": "round"}, "none of triclinic"),
        ({"failure_reason": "bad luck"}, "none of"),
        ({"properties": {"colour": 1}}, "'colour' is not known"),
        ({"properties": {"density": (2, 1)}}, "reversed"),
        ({"num_sites": "many"}, "neither a number nor a range"),
    ],
)
def test_an_impossible_question_is_told_in_one_line(asked, words):
    with pytest.raises(ConditionError, match=re.escape(words)) as error:
        CandidateQuery(**asked)
    assert "\n" not in str(error.value)


def test_a_field_that_does_not_exist_is_told():
    with pytest.raises(ValueError, match="no field 'colour'"):
        field_name("colour")


def documented_queries() -> list[tuple[str, list[str]]]:
    """Return the ``crystalicl query`` commands of all pages, and the README."""
    found = []
    for page in [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]:
        for block in re.findall(r"^```bash\n(.*?)^```$", page.read_text(), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.partition(" > ")[0], comments=True)
                if words[:2] == ["crystalicl", "query"]:
                    found.append((f"{page.name}: {line.strip()}", words[2:]))
    return found


QUERIES = documented_queries()


def test_the_documentation_has_queries():
    assert len(QUERIES) >= 12


@pytest.mark.parametrize(
    "words", [words for _, words in QUERIES], ids=[name for name, _ in QUERIES]
)
def test_every_documented_query_is_answered_by_the_prefix_of_an_index(words, indexed):
    context = query_command.make_context("query", list(words))
    asked = read_query(context.params)
    sort = context.params["sort"]
    order = {field_name(sort): 1} if sort else None
    if asked.mongo_criteria or order:
        index = index_for(asked.mongo_criteria, order)
        assert index is not None, f"no index of {CANDIDATE_INDEXES} answers {asked.mongo_criteria}"
        # SQLite says itself what it does: a search or an ordered walk, no look at everything
        plan = " / ".join(indexed.explain(asked.mongo_criteria, sort=order))
        assert "USING" in plan, plan
        assert "SCAN c" not in plan or "INDEX" in plan.split("SCAN c")[1], plan


def test_an_index_is_only_taken_by_its_prefix_and_with_the_order_asked_for():
    assert index_for({"chemsys": "Ca-O"}, {"energy_above_hull": 1}) == (
        "chemsys", "energy_above_hull",
    )  # fmt: skip
    assert index_for({"density": {"$gte": 3}}) == ("density",)
    assert index_for({"text": "x"}) is None
    assert index_for({"density": {"$gte": 3}}, {"text": 1}) is None
    assert index_for({"$or": [{"chemsys": "Ca"}, {"text": "x"}]}) is None


class TestServer:
    """The same on a MongoDB-protocol server."""

    @pytest.fixture
    def server(self, mongodb_uri, tmp_path, documents):
        opened = open_candidate_store(f"{mongodb_uri}/crystalicl_test/q_{tmp_path.name}")
        opened.remove_docs({})
        ensure_indexes(opened)
        write_documents(opened, [dict(d) for d in documents])
        yield opened
        opened._collection.drop()

    def test_questions_and_pages(self, server, documents):
        for fields, meets in QUESTIONS.values():
            expected = {d["candidate_id"] for d in documents if meets(d)}
            found = find_documents(server, CandidateQuery(**fields), sort="energy_above_hull")
            assert {d["candidate_id"] for d in found} == expected

    def test_the_declared_indexes_are_there(self, server):
        held = {
            tuple(name for name, _ in index["key"])
            for index in server._collection.index_information().values()
        }
        assert {*CANDIDATE_INDEXES, ("candidate_id",)} <= held
