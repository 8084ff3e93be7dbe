"""What the pages take from npm is what the pinned tarballs have in them."""

import pytest

from scripts import vendor


@pytest.mark.parametrize("tarball", vendor.COPIED, ids=lambda tarball: tarball.name)
def test_the_committed_copies_are_those_of_the_pinned_tarball(tarball: vendor.Tarball) -> None:
    for path, content in vendor.contents(tarball).items():
        assert path.read_bytes() == content, f"{path}: run python -m scripts.vendor"
