"""Progress in a log file."""

from glioseg.core.progress import track


def test_a_log_ends_with_a_line_with_count_and_estimate(capsys):
    assert list(track(iter("abc"), title="crop", total=3)) == ["a", "b", "c"]
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("crop: 3/3, ")
    assert line.endswith("about 0 s left")


def test_without_a_title_nothing_is_shown(capsys):
    assert list(track(iter("abc"), title="", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")
