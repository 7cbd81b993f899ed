"""The model config as text: what is read, what is changed, and what stays as it was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import InputError
from monitor.outside.tf_serving.messages import ModelServerConfig, model_server_config
from monitor.outside.tf_serving.model_config import Entry, changed, entry_of, restored, text_of
from monitor.outside.tf_serving.text_proto import parse

TWO = """\
# served on host a
model_config_list {
  config {
    name: "other"  # not ours
    base_path: "/models/other"
    model_version_policy { all {} }
    version_labels { key: "canary" value: 3 }
    some_new_field: 0x1F
    [ext.ension/of.Theirs] { a: 1e-5 b: [1, -2] }
  }
  config {
    name: 'flig' "hts"
    base_path: "/models/flights"
    model_platform: "tensorflow"
    model_version_policy {
      specific { versions: 41 }
    }
    logging_config { sampling_config { sampling_rate: 1.5E-3 } }  # a tenth
    version_labels { key: "stable" value: 41 }
  }
}
"""


def serving(*versions: int, **labels: int | None) -> Callable[[Entry], Entry]:
    return lambda entry: entry.serving(*versions).labelled(labels)


@pytest.mark.parametrize(
    ("text", "versions", "labels"),
    [
        pytest.param(TWO, (41,), {"stable": 41}, id="among others, with comments and fields that are not known"),
        pytest.param('model_config_list { config { name: "flights" } }', None, {}, id="nothing but a name"),
        pytest.param(
            'model_config_list: <config <name: "flights", model_version_policy: <latest: <num_versions: 2>>;>>',
            None,
            {},
            id="the latest, in the other spelling",
        ),
        pytest.param(
            'model_config_list { config: [{ name: "a" }, { name: "flights" model_version_policy { specific '
            '{ versions: [2, 010, 0x10] } } version_labels: [{ key: "a" value: 2 }, { value: 8 key: "b" }] }] }',
            (2, 8, 16),
            {"a": 2, "b": 8},
            id="lists, and numbers that are not decimal",
        ),
    ],
)
def test_an_entry_is_read(text: str, versions: tuple[int, ...] | None, labels: dict[str, int]) -> None:
    entry = entry_of(text, "flights")
    assert (entry.versions, entry.labels) == (versions, labels)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "no `model_config_list`", id="an empty file"),
        pytest.param("custom_model_config { }", "no `model_config_list`", id="a config of another kind"),
        pytest.param('model_config_list { config { name: "a" } }', "names 'flights' nowhere", id="another model"),
        pytest.param(
            'model_config_list { config { name: "flights" } config { name: "flights" } }', "more than once", id="twice"
        ),
        pytest.param("model_config_list {\n config {", "ends too early", id="half a file"),
        pytest.param("model_config_list {\n  config ! }", "'!' means nothing, line 2, column 10", id="a stray sign"),
        pytest.param('a { name "b" }', "no `:`, line 1, column 10", id="no colon"),
        pytest.param("a: }", "no value, line 1, column 4", id="no value"),
        pytest.param("a: [1 2]", "no `,`, line 1, column 7", id="a list without commas"),
        pytest.param("{}", "no name of a field, line 1, column 1", id="no name"),
        pytest.param("[a {", "extension does not end, line 1, column 4", id="half an extension"),
        pytest.param("a {" * 200 + "}" * 200, "nested too deeply", id="far too deep"),
        pytest.param("model_config_list { config { name: flights } }", "flights is no string", id="no string"),
        pytest.param(
            'model_config_list { config { name: "flights" version_labels { key: "a" value: 1.5 } } }',
            "1.5 is no whole number",
            id="no whole number",
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InputError, match="^(?s:.)*" + said.replace("[", r"\[")):
        entry_of(text, "flights")


def test_only_versions_and_labels_of_one_model_change() -> None:
    found = changed(TWO, "flights", serving(42, 41, stable=41, canary=42))
    expected = TWO.replace(
        """\
    model_version_policy {
      specific { versions: 41 }
    }
""",
        "",
    ).replace(
        """\
    version_labels { key: "stable" value: 41 }
""",
        """\
    model_version_policy { specific { versions: 41 versions: 42 } }
    version_labels { key: "canary" value: 42 }
    version_labels { key: "stable" value: 41 }
""",
    )
    assert found == expected


def test_what_was_changed_can_be_made_undone_to_the_last_byte() -> None:
    before = text_of(TWO, "flights")
    found = changed(TWO, "flights", serving(42, 43, canary=43))
    assert found != TWO
    assert restored(found, "flights", before) == TWO


def test_what_others_have_changed_since_is_kept_when_all_else_is_made_undone() -> None:
    before = text_of(TWO, "flights")
    found = changed(TWO, "flights", serving(42, 43, canary=43))
    theirs = found.replace('"/models/flights"', '"/mnt/flights"').replace('"/models/other"', '"/mnt/other"')
    back = restored(theirs, "flights", before)
    assert entry_of(back, "flights") == Entry("/mnt/flights", (41,), {"stable": 41})
    assert '"/mnt/other"' in back
    assert "# a tenth" in back


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            'model_config_list { config { name: "flights" } }',
            'model_config_list { config { name: "flights" model_version_policy { specific { versions: 1 } } '
            'version_labels { key: "a" value: 1 } } }',
            id="on one line",
        ),
        pytest.param(
            'model_config_list { config {\n\tname: "flights" } }',
            'model_config_list { config {\n\tname: "flights"\n\tmodel_version_policy { specific { versions: 1 } }\n'
            '\tversion_labels { key: "a" value: 1 }\n } }',
            id="with a bracket at the end of the last line",
        ),
        pytest.param(
            'model_config_list { config < version_labels { key: "b" value: 9 }, name: "flights"; > }',
            'model_config_list { config <  name: "flights"; model_version_policy { specific { versions: 1 } } '
            'version_labels { key: "a" value: 1 } > }',
            id="with separators and the other brackets",
        ),
        pytest.param(
            'model_config_list { config { name: "flights" version_labels{value: 2}base_path: "b" } }',
            'model_config_list { config { name: "flights" base_path: "b" model_version_policy { specific { versions: 1 } } '
            'version_labels { key: "a" value: 1 } } }',
            id="in the midst of a line, without blanks",
        ),
    ],
)
def test_fields_are_added_in_the_manner_of_the_file(text: str, expected: str) -> None:
    found = changed(text, "flights", serving(1, a=1))
    assert found == expected
    assert len(model_server_config(found).model_config_list.config) == 1


def test_a_label_of_a_version_that_no_longer_serves_is_gone() -> None:
    found = entry_of(changed(TWO, "flights", serving(42)), "flights")
    assert (found.versions, found.labels) == ((42,), {})


_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
_POSITIVE = st.integers(1, 2**63 - 1)


@st.composite
def configs(draw: st.DrawFn) -> Any:
    """A config of some models, of which one is `flights`."""
    config = ModelServerConfig()
    names = draw(st.lists(_NAMES.filter(lambda name: name != "flights"), unique=True, max_size=3))
    for name in draw(st.permutations([*names, "flights"])):
        one = config.model_config_list.config.add(name=name, base_path=draw(_NAMES), model_platform="tensorflow")
        match draw(st.integers(0, 3)):
            case 0:
                one.model_version_policy.latest.num_versions = draw(st.integers(1, 9))
            case 1:
                one.model_version_policy.all.SetInParent()
            case 2:
                one.model_version_policy.specific.versions.extend(draw(st.lists(_POSITIVE, max_size=3)))
        for label in draw(st.lists(_NAMES, unique=True, max_size=3)):
            one.version_labels.add(key=label, value=draw(_POSITIVE))
        one.logging_config.sampling_config.sampling_rate = draw(st.floats(0, 1))
    return config


@given(config=configs(), one_line=st.booleans(), ascii_only=st.booleans())
def test_what_the_library_writes_is_read_as_it_was_meant_and_writing_that_changes_nothing(
    config: Any, one_line: bool, ascii_only: bool
) -> None:
    text = text_format.MessageToString(config, as_one_line=one_line, as_utf8=not ascii_only)
    (ours,) = [one for one in config.model_config_list.config if one.name == "flights"]
    entry = entry_of(text, "flights")
    assert entry.labels == {label.key: label.value for label in ours.version_labels}
    assert (entry.versions is None) == (not ours.model_version_policy.HasField("specific"))
    assert changed(text, "flights", lambda same: same) == text
    assert restored(text, "flights", text_of(text, "flights")) == text


@given(
    config=configs(),
    one_line=st.booleans(),
    mixed=st.randoms(use_true_random=False),
    between=st.sampled_from([" ", "\n", '  # why, "so"\n    ', ", ", ";\n", "\t"]),
    versions=st.lists(_POSITIVE, min_size=1, max_size=3),
    label=_NAMES,
)
def test_a_change_reads_as_it_was_meant_by_the_library_and_spares_all_else(
    config: Any, one_line: bool, mixed: Any, between: str, versions: list[int], label: str
) -> None:
    text = text_format.MessageToString(config, as_one_line=one_line, as_utf8=True)
    ours = parse(f"config {text_of(text, 'flights')}").messages("config")[0].fields
    fields = [f"config {text_of(text, 'flights')}"[field.start : field.end] for field in ours]
    mixed.shuffle(fields)
    text = text.replace(text_of(text, "flights"), "{" + between.strip(",;") + between.join(fields) + " }")
    written = changed(text, "flights", lambda entry: entry.serving(*versions).labelled({label: versions[0]}))
    found = model_server_config(written)
    for one in config.model_config_list.config:
        if one.name == "flights":
            kept = {each.key: each.value for each in one.version_labels if each.value in versions}
            one.ClearField("version_labels")
            one.model_version_policy.Clear()
            one.model_version_policy.specific.versions.extend(sorted(set(versions)))
            for key, value in sorted((kept | {label: versions[0]}).items()):
                one.version_labels.add(key=key, value=value)
    assert found == config
    assert restored(written, "flights", text_of(text, "flights")) == text
