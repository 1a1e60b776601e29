"""What an audience may say, and what is refused before anything is asked."""

import msgspec
import pytest

from shared.contracts.audiences import Audience, AudienceRule


@pytest.mark.parametrize(
    "document",
    [
        {"all": True},
        {"list": "drivers"},
        {"rule": {"tier": ["std-30mb"], "lapsed_days": 30}},
        {"rule": {"used": {"month": "2015-08", "at_least_bytes": 1, "at_most_bytes": 1}}},
        {"rule": {"unused": {"at_least_bytes": 1}}},
    ],
)
def test_an_audience_is_everyone_a_list_or_a_rule(document):
    assert msgspec.to_builtins(msgspec.convert(document, Audience))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"all": False},
        {"all": True, "list": "drivers"},
        {"list": "No Spaces"},
        {"rule": {}},
        {"rule": {"tier": []}},
        {"rule": {"colour": "red"}},
        {"rule": {"used": {"at_least_bytes": 2, "at_most_bytes": 1}}},
        {"rule": {"used": {"month": "2015-13"}}},
        {"rule": {"lapsed_days": 0}},
    ],
)
def test_what_means_nothing_or_two_things_is_refused(document):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, Audience)


def test_a_rule_without_a_condition_would_be_everyone_and_is_refused():
    with pytest.raises(ValueError, match="a rule needs"):
        AudienceRule()
