"""A guess of the language of a text from its tokens: its script, and for Latin script the commonest function words.

It serves to see that the share of a language has changed, for which it need not be right about every text: no model is
loaded, and a million tokens take a fraction of a second. Changes with the languages that are told apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.profile.counts import Indices
from monitor.profile.document import Floats

NONE = "none"
"""The language of a text without letters."""
_LATIN, _OTHER, _NO_LETTERS = 0, 1, 2
_SCRIPTS = {
    "cyrillic": r"\p{Cyrillic}",
    "greek": r"\p{Greek}",
    "arabic": r"\p{Arabic}",
    "hebrew": r"\p{Hebrew}",
    "devanagari": r"\p{Devanagari}",
    "bengali": r"\p{Bengali}",
    "tamil": r"\p{Tamil}",
    "telugu": r"\p{Telugu}",
    "thai": r"\p{Thai}",
    "hangul": r"\p{Hangul}",
    "han": r"\p{Han}",
    "japanese": r"[\p{Hiragana}\p{Katakana}]",
    "georgian": r"\p{Georgian}",
    "armenian": r"\p{Armenian}",
    "ethiopic": r"\p{Ethiopic}",
}
_NAMES = ("latin", "other", NONE, *_SCRIPTS)

_WORDS = {
    "cs": "je na se že to si jsem ale jako byl pro jsou co která jen tak podle když ještě nebo při může",
    "de": "der die und ist nicht das ein ich zu den mit war auf für im sich eine es sehr auch wir sie von dem wie aber sind",
    "en": "the and is was of to it this for that with you not are but have they very my be at from as or were we had",
    "es": "el la de que y los en un las una por con para es muy no lo se del como pero más fue su me todo está",
    "fr": "le la les de des et est un une pas je très nous dans que il pour du au avec vous sur ce mais en sont plus c j l d",
    "id": "yang dan di ini itu dengan untuk tidak dari saya ada akan pada juga sangat ke bisa kami sudah karena adalah",
    "it": "il di che la è e per un non una con le sono si gli del molto ma mi della da più anche ho come questo",
    "nl": "de het een en van ik niet is dat op te met voor zijn was er maar heel ook aan bij naar hebben wij deze goed",
    "pl": "w i nie na się z jest to że do bardzo jak ale po jestem za dla od mi był są tylko już przez",
    "pt": "o de que e não um uma do da em para com os as muito é se por mais no na foi mas eu ao dos são meu",
    "sv": "och att det är jag inte som en på för med av den till var har om vi mycket men ett så från de kan",
    "tr": "ve bir bu çok için de da ile ne ama daha gibi olarak var ben kadar en sonra değil güzel iyi her",
    "vi": "và là của có không được cho tôi này rất một với các người những trong đã thì khi nhưng hàng",
}
"""Frequent function words, those of reviews and messages first; a word of several languages counts for each in part."""

_LANGUAGES = tuple(_WORDS)
_CLEAR = 1.2
"""How many times the second best language's score the best one must have."""


def _table() -> tuple[pa.Array, Floats]:
    words = sorted({word for listed in _WORDS.values() for word in listed.split()})
    member = np.array([[word in _WORDS[language].split() for language in _LANGUAGES] for word in words], np.float64)
    return pa.array(words, pa.string()), member / member.sum(axis=1, keepdims=True)


_STOP_WORDS, _SHARES = _table()


def languages_of(rows: int, owners: Indices, codes: Indices, distinct: pa.Array) -> pa.Array:
    """Return the language of each text: a code such as "en", "latin" where none is clear, else the script, or `NONE`.

    Args:
        rows: number of texts, n.
        owners: (m,) the text of each token.
        codes: (m,) index of each token into `distinct`.
        distinct: tokens in lower case, strings.
    """
    scripts = _scripts(distinct)
    count = len(_NAMES)
    held = np.bincount(owners * count + scripts[codes], minlength=rows * count).reshape(rows, count)
    # Japanese mixes its syllables with Chinese characters; a text with any of the former is not Chinese.
    kana, han = _NAMES.index("japanese"), _NAMES.index("han")
    held[:, kana] += np.where(held[:, kana] > 0, held[:, han], 0)
    held[:, _NO_LETTERS] = 0
    best = np.where(held.any(axis=1), held.argmax(axis=1), _NO_LETTERS)
    guessed = _guessed(rows, owners, codes, distinct)
    named = np.where((best == _LATIN) & (guessed >= 0), len(_NAMES) + guessed, best)
    return pa.array([*_NAMES, *_LANGUAGES], pa.string()).take(pa.array(named))


def _scripts(distinct: pa.Array) -> Indices:
    """Return the script of each token's first letter, an index into `_NAMES`."""
    first = pc.replace_substring_regex(distinct, pattern=r"^[^\p{L}]*(\p{L}?).*$", replacement=r"\1")
    kinds = first.dictionary_encode()
    letters = kinds.dictionary
    scripts = np.full(len(letters), _OTHER)
    for i, name in enumerate(_NAMES):
        if name in _SCRIPTS:
            scripts[_matches(letters, _SCRIPTS[name])] = i
    scripts[_matches(letters, r"\p{Latin}")] = _LATIN
    scripts[_matches(letters, r"^$")] = _NO_LETTERS
    if len(letters) == 0:
        return np.zeros(0, np.int64)
    of_tokens: Indices = scripts[kinds.indices.to_numpy(zero_copy_only=False)]
    return of_tokens


def _matches(values: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    matches = pc.match_substring_regex(values, pattern=pattern).to_numpy(zero_copy_only=False)
    return np.asarray(matches, bool)


def _guessed(rows: int, owners: Indices, codes: Indices, distinct: pa.Array) -> Indices:
    """Return the language whose function words a text has most of, -1 where none is clear."""
    places = np.asarray(pc.fill_null(pc.index_in(distinct, value_set=_STOP_WORDS), -1).to_numpy(), np.int64)
    of_tokens = places[codes] if len(places) else codes
    held = of_tokens >= 0
    owners, of_tokens = owners[held], of_tokens[held]
    scores = np.stack([np.bincount(owners, shares[of_tokens], rows) for shares in _SHARES.T], axis=1)
    best = scores.argmax(axis=1)
    top = scores.max(axis=1)
    scores[np.arange(rows), best] = 0.0
    clear = (top > 0.0) & (top >= _CLEAR * scores.max(axis=1))
    return np.where(clear, best, -1)
