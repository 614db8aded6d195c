import json

import jsonschema
import msgspec
import pytest

from tests.report import sample
from wirecheck.results import jsonl
from wirecheck.results.jsonl import ResultsError, read_results
from wirecheck.results.schema import FILE, results_schema


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "results.jsonl"
    jsonl.write(sample.broken(), path)
    return path


@pytest.mark.parametrize("results", [sample.broken(), sample.healthy(5), sample.empty()])
def test_what_was_written_is_read_again(results, tmp_path):
    path = tmp_path / "results.jsonl"
    jsonl.write(results, path)
    assert read_results(path) == results
    assert [each.name for each in tmp_path.iterdir()] == ["results.jsonl"]


def test_a_run_that_cannot_be_written_leaves_the_old_one(file, monkeypatch):
    before = file.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wirecheck.whole_file.os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        jsonl.write(sample.empty(), file)
    assert file.read_bytes() == before
    assert [each.name for each in file.parent.iterdir()] == ["results.jsonl"]


def test_every_line_fits_the_schema():
    schema = json.loads(FILE.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for line in jsonl.render(sample.broken()).splitlines():
        validator.validate(json.loads(line))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"type": "item", "check": "dns.x", "outcome": "green"})


def test_the_schema_is_fresh():
    assert FILE.read_text() == results_schema(), "run python -m wirecheck.results.schema"


def _sentence(path) -> str:
    with pytest.raises(ResultsError) as caught:
        read_results(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(path) in sentence
    return sentence


def test_a_missing_file(tmp_path):
    assert "No such file" in _sentence(tmp_path / "results.jsonl")


def test_a_folder(tmp_path):
    assert "Is a directory" in _sentence(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_file(file, content):
    file.write_bytes(content)
    assert "is empty" in _sentence(file)


def test_a_file_cut_between_lines(file):
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:10]))
    assert "cut off after line 10" in _sentence(file)


def test_a_file_with_its_first_line_alone(file):
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    assert "cut off after line 1:" in _sentence(file)


def test_every_cut_is_noticed(file):
    raw = file.read_bytes()
    ends = {len(raw), len(raw) - 1}
    for length in (length for length in range(0, len(raw), 97) if length not in ends):
        file.write_bytes(raw[:length])
        _sentence(file)


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON\n",
        b"\xff\xfe\n",
        b'{"type":"item","check":"dns.x","outcome":"green"}\n',
        b'{"type":"item","check":"dns.x","outcome":"pass","colour":"green"}\n',
        b'{"type":"other"}\n',
        b"[" * 100_000 + b"\n",
        b"\n",
    ],
)
def test_a_line_that_is_not_understood(file, line):
    lines = file.read_bytes().splitlines(keepends=True)
    lines.insert(4, line)
    file.write_bytes(b"".join(lines))
    assert "line 5:" in _sentence(file)


def test_another_format(file):
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b'{"type":"run","format":2,"news":[]}\n' + b"".join(lines[1:]))
    assert "format 2" in _sentence(file)


def test_a_missing_start(file):
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[1:]))
    assert "the start of the run is missing" in _sentence(file)


def test_two_runs_in_one_file(file):
    lines = len(file.read_bytes().splitlines())
    file.write_bytes(file.read_bytes() * 2)
    assert f"line {lines + 1}:" in _sentence(file)


def test_a_second_start(file):
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + b"".join(lines))
    assert "line 2: another run starts here" in _sentence(file)


def test_it_is_one_object_a_line_distinguished_by_type():
    lines = jsonl.render(sample.broken()).splitlines()
    types = [msgspec.json.decode(line)["type"] for line in lines]
    assert types[0] == "run"
    assert set(types[1:-1]) == {"item"}
    assert types[-1] == "end"
