"""What decides whether a package is built and published; the rest of scripts/clients.py runs in `make clients`."""

from pathlib import Path

import pytest

from scripts import clients


class TestTags:
    def test_of_the_version_that_a_package_has_publishes_it(self) -> None:
        assert clients.check_tag(f"python-v{clients.version_of('python')}") == "python"

    @pytest.mark.parametrize(
        ("tag", "reason"),
        [
            ("python-v0.0.0", "not of the version"),
            ("python-v", "not of the version"),
            ("python-0.1.0", "of no package"),
            ("rust-v0.1.0", "of no package"),
            ("v0.1.0", "of no package"),
            ("", "of no package"),
        ],
    )
    def test_of_anything_else_publishes_nothing(self, tag: str, reason: str) -> None:
        with pytest.raises(clients.ClientsError, match=reason):
            clients.check_tag(tag)

    def test_of_a_version_without_a_heading_in_the_changelog_publishes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "clients/python").mkdir(parents=True)
        (tmp_path / "clients/python/CHANGELOG.md").write_text("# Changelog\n\n## 0.0.9\n")
        monkeypatch.setattr(clients, "ROOT", tmp_path)
        with pytest.raises(clients.ClientsError, match="no heading for"):
            clients.version_of("python")


class TestStamps:
    def made(self, folder: Path, *inputs: str, fails: bool = False) -> bool:
        """Whether the folder was made, by something that stops half-way if it fails."""
        calls = []

        def make() -> None:
            calls.append(folder.exists())
            folder.mkdir()
            if fails:
                raise clients.ClientsError("half-way")

        try:
            clients.once(folder, make, *inputs)
        except clients.ClientsError:
            assert fails
        assert not any(calls), "it was not empty"
        return bool(calls)

    def test_the_same_inputs_make_a_folder_once(self, tmp_path: Path) -> None:
        assert [self.made(tmp_path / "it", "a", "b") for _ in range(3)] == [True, False, False]

    def test_others_make_it_anew_and_from_nothing(self, tmp_path: Path) -> None:
        self.made(tmp_path / "it", "a", "b")

        assert self.made(tmp_path / "it", "ab")
        assert self.made(tmp_path / "it", "a", "b")

    def test_what_stopped_half_way_is_made_again(self, tmp_path: Path) -> None:
        self.made(tmp_path / "it", "a", fails=True)

        assert self.made(tmp_path / "it", "a")

    def test_a_file_that_changes_its_content_or_its_name_is_another_input(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        one.write_text("a")
        two.write_text("b")
        before = clients.fingerprint([one, two])

        assert clients.fingerprint([two, one]) == before
        one.write_text("b")
        two.write_text("a")
        assert clients.fingerprint([one, two]) != before
