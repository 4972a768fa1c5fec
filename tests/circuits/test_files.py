"""The files of circuits and derivations: exact, and one clear error for what they are not."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.circuits import (
    Circuit,
    Derivation,
    Link,
    Member,
    derive,
    known_circuit,
    published_circuit,
)
from interp.circuits.files import dataset_of, dataset_record
from tests.circuits.test_circuit import CHAIN, HEADS, LINKS, circuit_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(HEADS, st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=30, deadline=None)
def test_a_circuit_comes_back_as_it_was(found, source, weights):
    circuit = Circuit("gpt2", circuit_of(found).members, source, weights=weights, task="ioi")
    assert Circuit.from_json(circuit.to_json()) == circuit


@given(st.text(min_size=1, max_size=8), NUMBERS, NUMBERS)
@settings(max_examples=50, deadline=None)
def test_with_any_role_and_any_number(role, effect, q_value):
    nodes = Member((3, 1, role), "other"), Member((4, 2, role), "other")
    edge = type(LINKS[0].edge)(nodes[0].node, nodes[1].node, "k")
    circuit = Circuit("m", nodes, links=[Link(edge, effect, q_value=q_value)])
    assert Circuit.from_json(circuit.to_json()) == circuit


def test_save_and_load(tmp_path):
    mlps = (Member("m10@END"), Member("m2@S2"))
    circuit = Circuit("gpt2", (*CHAIN.members, *mlps), "hand", LINKS, "abc", "ioi")
    path = tmp_path / "new" / "circuit.json"
    circuit.save(path)
    assert Circuit.load(path) == circuit
    data = json.loads(path.read_text())
    assert (data["format"], data["version"]) == ("interp.Circuit", 1)
    assert data["heads"][0] == {
        "layer": 0, "head": 1, "class": "duplicate token", "position": "S2"
    }  # fmt: skip
    assert data["mlps"][1] == {"layer": 10, "position": "END"}
    assert data["links"][3]["effect"] == 0.5
    for task in ("ioi", "ioi naive", "greater_than", "induction", "acronym"):
        published_circuit(task, "gpt2").save(path)
        assert Circuit.load(path) == published_circuit(task, "gpt2")


def changed(**fields):
    data = json.loads(Circuit("gpt2", CHAIN.members, links=LINKS).to_json())
    return json.dumps({**data, **fields})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("heads: 9.6", "holds JSON, and this text does not"),
        ("", "holds JSON"),
        ("[]", "this JSON names no format"),
        ("3", "this JSON names no format"),
        ('{"model": "gpt2", "heads": []}', "this JSON names no format"),
        ('{"format": "interp.Derivation", "version": 1}', "has the format 'interp.Derivation'"),
        (changed(version=2), "has version 2, and this release of interp reads version 1"),
        (changed(version=None), "has version None"),
        ('{"format": "interp.Circuit", "version": 1, "heads": []}', "lacks model"),
        ('{"format": "interp.Circuit", "version": 1}', "lacks model, heads"),
        (changed(model=3), "model of the circuit cannot be 3"),
        (changed(heads={}), "heads of the circuit cannot be {}"),
        (changed(heads=["9.6"]), "entry 0 of heads lacks layer"),
        (changed(heads=[{"layer": 9, "head": 6, "position": "END"}]), "entry 0 of heads lacks cla"),
        (changed(heads=[{"layer": "9", "head": 6}]), "layer of entry 0 of heads cannot be '9'"),
        (changed(heads=[{"layer": True, "head": 6}]), "layer of entry 0 of heads cannot be True"),
        (
            changed(heads=[{"layer": -1, "head": 6, "class": "other", "position": "END"}]),
            "whole numbers from 0",
        ),
        (
            changed(heads=[{"layer": 1, "head": 6, "class": "mouver", "position": "END"}]),
            "unknown class 'mouver'",
        ),
        (changed(mlps=[{"layer": 1, "position": "END"}, {"layer": 2}]), "entry 1 of mlps lacks po"),
        (changed(links=[{"sender": "9.9"}]), "entry 0 of links lacks sent_from"),
        (
            changed(links=[{**LINKS[3].record(), "effect": "large"}]),
            "effect of entry 0 of links cannot be 'large'",
        ),
        (changed(links=[{**LINKS[3].record(), "size": 1}]), "unknown field size"),
        (changed(links=[{**LINKS[3].record(), "sender": "9.9@S2"}]), "a part such as"),
        (changed(links=[{**LINKS[3].record(), "sender": "head"}]), "'head' names no part"),
        (changed(heads=[]), "which is not in the circuit"),
    ],
)
def test_a_text_that_is_no_circuit(text, message):
    with pytest.raises(ValueError, match=message):
        Circuit.from_json(text)


def test_a_file_that_is_none(tmp_path):
    path = tmp_path / "circuit.json"
    with pytest.raises(FileNotFoundError):
        Circuit.load(path)
    path.write_bytes("\u00e9".encode("latin-1"))
    with pytest.raises(ValueError, match="not a text file"):
        Circuit.load(path)


@pytest.fixture(scope="module")
def derivation():
    known = known_circuit("duplicate", n=8)
    return derive(known.model, known.task, metrics=["logit_diff", "probability"])


def test_a_derivation_comes_back_as_it_was(derivation, tmp_path):
    path = tmp_path / "new" / "derivation.json"
    derivation.save(path)
    again = Derivation.load(path)
    assert again.circuit == derivation.circuit
    for name in ("effects", "nodes", "behavior"):
        ours, theirs = getattr(again, name), getattr(derivation, name)
        xr.testing.assert_identical(ours, theirs)
        for part, array in theirs.items():
            assert ours[part].dtype == array.dtype
    assert (again.tested, again.smallest, again.fdr) == (
        derivation.tested, derivation.smallest, derivation.fdr
    )  # fmt: skip
    assert again.found_by == derivation.found_by and again.metrics == derivation.metrics
    assert again.heads().equals(derivation.heads()) and again.links().equals(derivation.links())
    assert again.to_json() == derivation.to_json()


def test_an_empty_derivation_too(derivation):
    none = derivation.nodes.isel(node=slice(0))
    empty = Derivation(
        Circuit("m", ()), derivation.effects.isel(link=slice(0)), none,
        derivation.behavior.isel(node=slice(0)), 3, 0.5, 0.05,
    )  # fmt: skip
    again = Derivation.from_json(empty.to_json())
    assert again.nodes["logit_diff"].shape == (0, 8) and again.heads().empty
    assert again.circuit == empty.circuit and again.found_by == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("effects"), "lacks effects"),
        (lambda d: d.update(version=9), "has version 9"),
        (lambda d: d.update(circuit=None), "circuit of the derivation cannot be None"),
        (lambda d: d["circuit"].pop("format"), "names no format"),
        (lambda d: d.update(tested="many"), "tested of the derivation cannot be 'many'"),
        (lambda d: d.update(nodes=[]), "nodes of the derivation is not a dataset"),
        (lambda d: d["nodes"]["values"]["logit_diff"].pop("shape"), "not a dataset.*shape"),
        (lambda d: d["nodes"]["coords"].pop("q_value"), "lack q_value or found_by"),
        (lambda d: d["circuit"]["links"].pop(), "effects of the derivation are not those"),
        (lambda d: d["behavior"]["coords"]["node"]["values"].reverse(), "behavior of .* not those"),
    ],
)
def test_a_text_that_is_no_derivation(derivation, change, message):
    data = json.loads(derivation.to_json())
    change(data)
    with pytest.raises(ValueError, match=message):
        Derivation.from_json(json.dumps(data))
    with pytest.raises(ValueError, match=r"expected a file of interp\.Circuit"):
        Circuit.from_json(derivation.to_json())


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_arrays_come_back_with_every_value(dtype):
    values = np.array([[0.1, 1e-30, -3.5], [1 / 3, 1e9, 0.0]]).astype(dtype)
    data = xr.Dataset(
        {"x": (("a", "b"), values, {"unit": "logits"}), "none": (("a", "c"), values[:, :0])},
        {"a": ["\u00e9", "<"], "b": [3, 1, 2]},
        {"n": np.int64(3)},
    )
    again = dataset_of(json.loads(json.dumps(dataset_record(data), allow_nan=False)), "it")
    xr.testing.assert_identical(again, data)
    assert again.x.dtype == dtype


def test_numbers_that_json_lacks():
    data = xr.Dataset({"x": ("a", np.array([np.nan, np.inf, -np.inf, 1.0]))})
    again = dataset_of(json.loads(json.dumps(dataset_record(data), allow_nan=False)), "it")
    np.testing.assert_array_equal(again.x, data.x)
