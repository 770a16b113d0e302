import os

import pytest

from glioseg.cluster import ClusterError, map_cases


def test_results_keep_the_order_of_the_items():
    assert map_cases(abs, [-3, 2, -1], title="count", workers=2) == [3, 2, 1]


def test_no_item_is_no_work():
    assert map_cases(abs, [], title="count") == []


def test_what_a_worker_raises_comes_back():
    with pytest.raises(ValueError, match="invalid literal"):
        map_cases(int, ["1", "x"], title="count", workers=2)


def test_a_killed_worker_is_one_clear_error():
    with pytest.raises(ClusterError, match="count: a worker process was killed"):
        map_cases(os._exit, [9], title="count", workers=1)
