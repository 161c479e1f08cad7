"""Labels of two looks at the same items, by hand."""

import pytest

from labelapp.statistics.reliability import label_agreement


def test_labels_are_compared_as_they_stand_and_by_their_key():
    found = label_agreement(["animals", "Animals.", "verbs", "war"], ["animals", "animals", "nouns", "War"], range(4))
    assert found.exact.value == 0.25 and found.normalised.value == 0.75
    assert label_agreement([], [], []).exact.value is None
    with pytest.raises(ValueError, match="zip"):
        label_agreement(["a"], [], [0])
