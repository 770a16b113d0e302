import pytest

from glioseg.files import replaced_whole, write_whole


def interrupt(folder):
    with replaced_whole(folder) as aside:
        (aside / "new").touch()
        raise KeyboardInterrupt


def test_a_folder_is_replaced_whole(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    with replaced_whole(tmp_path / "x") as aside:
        (aside / "new").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "x"]


def test_an_interrupted_replacement_keeps_the_old(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    with pytest.raises(KeyboardInterrupt):
        interrupt(tmp_path / "x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old", "x"]


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_whole(tmp_path / "x", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]
