"""JSON text: what PostgreSQL and Python would not read alike is refused, with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import errors, jsontext
from lib.errors import Place

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def refused(text: str) -> list[Place]:
    with pytest.raises(errors.InvalidBody) as raised:
        jsontext.parse(text)
    return list(raised.value.places)


class TestParse:
    @given(VALUES)
    def test_reads_what_json_writes(self, value: object) -> None:
        text = json.dumps(value)

        if "\\u0000" in text:
            assert refused(text)
        else:
            assert jsontext.parse(text) == value

    def test_names_line_and_column_of_what_is_no_json(self) -> None:
        with pytest.raises(errors.MalformedJson, match="line 2, column 3"):
            jsontext.parse("{\n  x: 1}")

    def test_names_every_place_up_to_20(self) -> None:
        assert [place.pointer for place in refused('{"a": "\\u0000", "b": [1, NaN], "c": {"d": 1, "d": 2}}')] == [
            "/a",
            "/b/1",
            "/c",
        ]
        assert len(refused("[" + ",".join(["NaN"] * 100) + "]")) == 20

    def test_takes_an_escaped_backslash_before_u0000_for_text(self) -> None:
        assert jsontext.parse('"\\\\u0000"') == "\\u0000"

    def test_finds_u0000_behind_escaped_backslashes(self) -> None:
        assert refused('["\\\\\\u0000"]')[0].pointer == "/0"

    def test_takes_pairs_of_surrogates(self) -> None:
        assert jsontext.parse('"\\ud83d\\ude00"') == "😀"
        assert jsontext.parse('"\\uD83D\\uDE00\\\\ud800"') == "😀\\ud800"

    @pytest.mark.parametrize("half", ["\\ud800", "\\uD800", "\\udc00", "\\uDC00", "\\uDFff", "\\ud83d\\ud83d\\ude00"])
    def test_refuses_half_a_pair_of_surrogates_in_either_case(self, half: str) -> None:
        for text in (f'["{half}"]', f'["x{half}\\n"]', f'["\\\\{half}"]'):
            assert refused(text)[0].pointer == "/0"
        assert refused(f'{{"a": {{"{half}": 1}}}}')[0].pointer == "/a"

    @pytest.mark.parametrize("depth", [129, 500, 5_000, 200_000])
    def test_refuses_the_129th_level(self, depth: int) -> None:
        assert jsontext.parse("[" * 128 + "]" * 128)
        assert refused("[" * depth + "]" * depth)[0].pointer == "/0" * 128

    def test_names_the_place_of_what_is_too_deep_among_other_things(self) -> None:
        deep = '{"x":' * 100_000 + "1" + "}" * 100_000

        [place] = refused('{"a": [1, {"[": "]"}, []], "b\\"~/": {"c": [0, ' + deep + "]}}")

        assert place.pointer == '/b"~0~1/c/1' + "/x" * 125

    @pytest.mark.parametrize(
        "number",
        [
            "1e309",
            "-1e309",
            "9" * 310,
            "-" + "9" * 310,
            "9" * 100_000,
            "1e-400",
            "-0.01E-20000",
            "0." + "1" * 2000,
            "0e-16384",
            "0e99999999999",
            "-0.0E+10000",
        ],
    )
    def test_refuses_a_number_beyond_a_double(self, number: str) -> None:
        assert refused(f'{{"n": [{number}]}}')[0].pointer == "/n/0"

    @pytest.mark.parametrize(
        "number",
        ["1e308", "5e-324", "0e-400", "0e9999", "0.0e-00009999", "0.000", "9" * 308, "1" + "0" * 308, "-0", "0.1"],
    )
    def test_takes_any_number_within_a_double(self, number: str) -> None:
        assert float(jsontext.parse(number)) == float(number)

    def test_names_a_place_behind_many_others(self) -> None:
        text = "[" * 100 + "0," * 100_000 + '"\\u0000"' + "]" * 100

        assert [place.pointer for place in refused(text)] == ["/0" * 99 + "/100000"]

    def test_counts_objects_and_arrays_but_not_those_in_texts(self) -> None:
        most = jsontext.MAX_CONTAINERS
        text = json.dumps('{"[' * most + '\\"[' * most)

        assert len(jsontext.parse("[" + ",".join(["{}"] * (most - 1)) + "]")) == most - 1
        with pytest.raises(errors.InvalidBody, match="more than 200,000 objects and arrays"):
            jsontext.parse("[" + ",".join(["{}"] * most) + "]")
        assert jsontext.parse(f"[{text}]") == [json.loads(text)]


class TestFingerprint:
    def test_is_the_same_however_the_text_is_written(self) -> None:
        assert jsontext.fingerprint('{"a": [1, "é"], "b": 2.5}') == jsontext.fingerprint('{"b":2.5,"a":[1,"\\u00e9"]}')

    @pytest.mark.parametrize(
        ("one", "other"),
        [("0.1", "0.10000000000000000001"), ("1", "1.0"), ("1.0", "1.00"), ("1e1", "10.0"), ("0", "-0"), ("1", '"1"')],
    )
    def test_tells_numbers_apart_by_their_digits(self, one: str, other: str) -> None:
        assert jsontext.fingerprint(f"[{one}]") != jsontext.fingerprint(f"[{other}]")

    def test_of_members_leaves_the_others_out_and_absent_ones_too(self) -> None:
        whole = jsontext.fingerprint("[1]")

        assert jsontext.fingerprint('{"a": [1], "b": 2}', ["a"]) == whole
        assert jsontext.fingerprint('{"a": [1], "b": 2, "c": null}', ["a", "c"]) == whole
        assert jsontext.fingerprint('{"a": [1], "b": 2}', ["a", "b"]) != whole
