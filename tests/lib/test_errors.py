"""Problems: codes are unique and part of the contract."""

from lib import errors
from lib.errors import Problem


def problems(of: type[Problem] = Problem) -> list[type[Problem]]:
    return [kind for child in of.__subclasses__() for kind in (child, *problems(child))]


def test_every_problem_has_a_status_a_title_and_a_detail() -> None:
    for kind in problems():
        assert 400 <= kind.status < 600, kind
        assert kind.title, kind
        assert kind.__doc__, kind
        assert not kind.__doc__.endswith("."), kind
        assert kind.__doc__[0].islower() or kind.__doc__.startswith("Idempotency-Key"), kind


def test_codes_are_unique_and_in_snake_case() -> None:
    codes = [kind.code for kind in problems()]

    assert sorted(codes) == sorted(set(codes))
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


def test_the_modules_tree_names_every_class() -> None:
    tree = errors.__doc__ or ""
    assert [kind.__name__ for kind in problems() if kind.__name__ not in tree] == []
