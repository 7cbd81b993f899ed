from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from monitor.profile.derived.text import READ_CHARACTERS, TextPlan, Tokens, learn_texts, readable

PLAN = TextPlan(np.zeros(0, np.uint64))
TEXTS = {
    "en": "The food was good and it came with a smile",
    "de": "Die Lieferung war zu spät, aber das Essen ist gut",
    "fr": "Le repas est très bon mais les desserts sont chers",
    "es": "La comida es muy buena pero no lo recomiendo para los niños",
    "it": "Il cibo è molto buono ma non c'è una scelta",
    "pt": "A comida não é muito boa e o serviço foi lento",
    "nl": "Het eten is niet goed maar wij komen ook een keer terug",
    "sv": "Maten är mycket god och det var inte dyrt",
    "pl": "Jedzenie jest bardzo dobre ale nie było za tanie",
    "cs": "Jídlo je velmi dobré ale není to levné, že jsem se bál",
    "tr": "Yemek çok güzel ve bir daha gelmek için var",
    "id": "Makanan ini sangat enak dan saya akan kembali",
    "vi": "Món ăn rất ngon và tôi không có gì để chê",
    "cyrillic": "Еда была очень вкусной",
    "greek": "Το φαγητό ήταν καλό",
    "arabic": "كان الطعام جيدا جدا",
    "hebrew": "האוכל היה טוב מאוד",
    "han": "食物非常好吃",
    "japanese": "食べ物はとても美味しかった",
    "hangul": "음식이 아주 맛있었어요",
    "thai": "อาหารอร่อยมาก",
    "latin": "Tasty pizza",
    "none": "10/10 !!!",
}


def _column(*texts: str | None) -> pa.Array:
    return pa.array(texts, pa.string())


def _sentences(count: int, words: int = 12, seed: int = 0) -> list[str]:
    """Make sentences of words whose frequencies fall as those of a language do."""
    random = np.random.default_rng(seed)
    shares = 1.0 / np.arange(1, 5_001)
    places = random.choice(5_000, (count, words), p=shares / shares.sum())
    return [" ".join(f"word{place}" for place in row) for row in places]


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_a_text_is_that_of_its_function_words_or_its_script(language: str) -> None:
    assert PLAN.derive(_column(TEXTS[language]))["language"].to_pylist() == [language]


def test_words_are_runs_of_letters_and_digits_and_signs_of_scripts_without_spaces() -> None:
    texts = ["Don't stop: 2 times, naïve e-mails", "好吃 good", "  ", None]
    tokens = Tokens.of(_column(*texts))
    assert [tokens.distinct[int(code)].as_py() for code in tokens.codes] == [
        *("don", "t", "stop", "2", "times", "naïve", "e", "mails"),
        *("好", "吃", "good"),
    ]
    assert tokens.counts.tolist() == [8, 3, 0, 0]


def test_lengths_count_characters_and_a_missing_text_has_nothing() -> None:
    derived = PLAN.derive(_column("naïve 好", "", None))
    assert derived["length"].to_pylist() == [7, 0, None]
    assert derived["words"].to_pylist() == [2, 0, None]
    assert derived["unknown_words"].to_pylist() == [1.0, None, None]
    assert derived["language"].to_pylist()[1:] == ["none", None]


def test_only_the_beginning_of_a_long_text_is_split_but_all_of_it_is_measured() -> None:
    derived = PLAN.derive(_column("ab " * READ_CHARACTERS))
    assert derived["length"].to_pylist() == [3 * READ_CHARACTERS]
    assert derived["words"].to_pylist() == [(READ_CHARACTERS + 2) // 3]


def test_bytes_are_read_as_text_and_what_is_none_is_replaced() -> None:
    assert readable(pa.array([b"caf\xc3\xa9", b"\xff!", None])).to_pylist() == ["café", "\ufffd!", None]


def test_no_text_gives_empty_columns() -> None:
    assert {name: len(column) for name, column in PLAN.derive(_column()).items()} == dict.fromkeys(
        ("length", "words", "unknown_words", "language"), 0
    )


def _learned(texts: Sequence[str | None], units: Sequence[int] | None = None) -> tuple[TextPlan, pa.Array]:
    column = _column(*texts)
    plan, own = learn_texts(column, np.arange(len(texts)) if units is None else np.array(units))
    return plan, own["unknown_words"]


def test_a_baselines_texts_have_as_many_unknown_words_as_fresh_ones_and_as_they_have_as_a_window() -> None:
    texts = _sentences(6_000)
    plan, own = _learned(texts[:3_000])
    spread = np.std(own.to_numpy())
    for window in (texts[3_000:], texts[:3_000]):
        share = plan.derive(_column(*window))["unknown_words"].to_numpy()
        assert abs(np.mean(own.to_numpy()) - np.mean(share)) < 0.07 * spread


def test_a_word_that_only_one_block_of_time_holds_is_unknown_to_that_block() -> None:
    """Each block has a topic of its own, and so will the next."""
    texts = [f"{text} topic{i // 100} topic{i // 100}" for i, text in enumerate(_sentences(1_000, 4))]
    _, by_row = _learned(texts)
    _, by_block = _learned(texts, [i // 100 for i in range(1_000)])
    assert np.mean(by_block.to_numpy()) > np.mean(by_row.to_numpy()) + 0.3


def test_texts_that_all_share_their_unit_are_unknown_to_nobody_else() -> None:
    _, own = _learned(["one two three"] * 20, [0] * 20)
    assert own.to_pylist() == [1.0] * 20


def test_new_words_are_unknown() -> None:
    plan, own = _learned(_sentences(3_000))
    new = [text.replace("word1", "wort1") for text in _sentences(500, seed=1)]
    share = plan.derive(_column(*new))["unknown_words"].to_numpy()
    assert np.mean(share) > np.mean(own.to_numpy()) + 0.1


def test_a_column_without_words_has_no_vocabulary() -> None:
    plan, own = _learned([None, "", "!!!"])
    assert plan.vocabulary.tolist() == []
    assert own.to_pylist() == [None, None, None]


def test_a_plan_survives_its_document_and_does_not_show_the_words() -> None:
    plan, _ = _learned(_sentences(200))
    document = json.dumps(plan.to_document())
    assert "word" not in document
    assert TextPlan.from_document(json.loads(document)) == plan
