import pytest

from glioseg.core.old_names import FIELDS, PATHS, STAGES, TAGS, old_name, with_current_names


def test_a_record_of_an_earlier_version_is_read_under_the_current_names():
    assert with_current_names({"verdict": "does not pass", "git_commit": "abc"}, TAGS) == {
        "gate_decision": "does not pass",
        "git_commit": "abc",
    }


@pytest.mark.parametrize("order", [("verdict", "gate_decision"), ("gate_decision", "verdict")])
def test_the_current_name_counts_where_a_record_has_both(order):
    values = {"verdict": "old", "gate_decision": "new"}
    assert with_current_names({name: values[name] for name in order}, TAGS) == {"gate_decision": "new"}


@pytest.mark.parametrize("names", [FIELDS, PATHS, STAGES, TAGS])
def test_every_current_name_has_one_old_name(names):
    assert {old_name(current, names): current for current in names.values()} == dict(names)


def test_a_name_that_did_not_change_is_its_own_old_name():
    assert old_name("models/trained", PATHS) == "models/trained"
