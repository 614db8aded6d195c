from pathlib import Path

import pytest

from testbed.commands import TestbedError
from testbed.state import Record, State, is_fresh, key_of, mark_fresh, mark_stale, state


def test_a_key_changes_with_content_name_and_permission_of_each_file(tmp_path: Path) -> None:
    folder = tmp_path / "module"
    folder.mkdir()
    file = folder / "go.mod"
    file.write_text("module a\n")
    keys = [key_of([folder])]
    file.write_text("module b\n")
    keys.append(key_of([folder]))
    file.chmod(0o755)
    keys.append(key_of([folder]))
    file.rename(folder / "go.work")
    keys.append(key_of([folder]))
    assert len(set(keys)) == 4


def test_a_key_does_not_run_its_parts_together() -> None:
    assert key_of(["ab", "c"]) != key_of(["a", "bc"])


def test_what_was_made_from_other_inputs_is_not_fresh(tmp_path: Path) -> None:
    made = tmp_path / "binary"
    made.write_text("")
    assert not is_fresh(made, "one")
    mark_fresh(made, "one")
    assert is_fresh(made, "one")
    assert not is_fresh(made, "two")


def test_what_is_being_made_or_was_deleted_is_not_fresh(tmp_path: Path) -> None:
    made = tmp_path / "binary"
    made.write_text("")
    mark_fresh(made, "one")
    mark_stale(made)
    assert not is_fresh(made, "one")
    mark_fresh(made, "one")
    made.unlink()
    assert not is_fresh(made, "one")


def test_the_record_of_a_running_cluster_is_read_back(tmp_path: Path) -> None:
    here = State(tmp_path)
    assert here.record() is None
    here.write_record(Record("nftables", "172.31.250.0/24", vm=True))
    assert here.record() == Record("nftables", "172.31.250.0/24", vm=True)
    here.forget_record()
    assert here.record() is None


def test_a_record_from_before_networks_could_be_chosen_is_of_flannel(tmp_path: Path) -> None:
    text = '{"proxy_mode": "iptables", "subnet": "172.31.250.0/24", "vm": false}'
    (tmp_path / "cluster.json").write_text(text)
    record = State(tmp_path).record()

    assert record
    assert record.network == "flannel"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"proxy_mode": "iptables"}'])
def test_a_record_that_makes_no_sense_means_no_complete_cluster(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_text(text)
    assert State(tmp_path).record() is None


def test_the_folder_follows_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert state().root == tmp_path / "wirecheck/testbed"


def test_who_needs_a_cluster_is_told_how_to_start_one(tmp_path: Path) -> None:
    here = State(tmp_path)
    with pytest.raises(
        TestbedError, match="no test cluster is running: `python -m testbed up` starts one"
    ):
        here.running()
    record = Record("iptables", "172.31.250.0/24", vm=False)
    here.write_record(record)
    assert here.running() == record
