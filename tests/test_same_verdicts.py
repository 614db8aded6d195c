"""Every recorded cluster gets the verdict that it got before, item by item."""

import pytest

from tests.verdicts import CLUSTERS, FOLDER, differences, read, verdicts, with_current_ids


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_recorded_cluster_gets_the_same_verdicts(name):
    before = with_current_ids(read(FOLDER / f"{name}.jsonl.gz"))

    assert len(before) > 300
    assert list(differences(before, verdicts(CLUSTERS[name]))) == []


def test_every_recorded_verdict_belongs_to_a_cluster():
    assert {file.name for file in FOLDER.iterdir()} == {f"{name}.jsonl.gz" for name in CLUSTERS}


class TestADifferenceIsReported:
    before = with_current_ids(read(FOLDER / "broken.jsonl.gz"))

    @pytest.mark.parametrize(
        "change",
        [
            {"outcome": "pass"},
            {"gives_reason": True},
            {"folded": True},
            {"findings": []},
            {"undecided": ["Pod shop/web"]},
            {"unjudged": [3]},
        ],
    )
    def test_in_one_field_of_one_item(self, change):
        check = "services.frontends_programmed"
        (failing,) = [each for each in self.before if each["check"] == check and each["findings"]]
        (field,) = change
        now = [each | change if each is failing else each for each in self.before]

        (sentence,) = differences(self.before, now)
        assert sentence.startswith(f"{check} on wc-w2: {field} was ")

    def test_where_an_item_is_missing(self):
        (sentence,) = differences(self.before, self.before[1:])
        assert sentence.endswith("there was a verdict, and now there is none")

    def test_where_an_item_was_added_to_a_check(self):
        (sentence,) = differences(self.before[1:], self.before)
        assert sentence.endswith("there was no verdict, and now there is one")

    def test_but_not_for_a_check_that_is_new(self):
        new = {**self.before[0], "check": "dns.something_new"}
        assert list(differences(self.before, [*self.before, new])) == []
