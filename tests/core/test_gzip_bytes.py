import gzip

import pytest

from glioseg.core.gzip_bytes import DECODE_ERRORS, compress_bytes, decompress


def test_no_more_bytes_than_requested_are_decompressed_also_of_several_members():
    content = gzip.compress(b"ab") + gzip.compress(b"cd")
    assert [decompress(content, limit) for limit in (1, 2, 3, 9)] == [b"a", b"ab", b"abc", b"abcd"]


def test_compressed_bytes_have_no_time_and_zlib_reads_them():
    content = compress_bytes(b"voxels")
    assert content[4:8] == bytes(4)
    assert gzip.decompress(content) == b"voxels"


def test_truncated_bytes_raise_one_of_the_listed_errors():
    with pytest.raises(DECODE_ERRORS):
        decompress(gzip.compress(bytes(range(256)))[:-9], 300)
