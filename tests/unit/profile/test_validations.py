from __future__ import annotations

import pytest

from monitor.errors import ConfigError
from monitor.profile.validations import parse_custom_validations

TEXT = b"""
feature_validations {
  feature_path { step: 'fare' }
  validations { sql_expression: 'feature.num_stats.mean > 1' severity: ERROR description: 'fares are positive' }
}
"""


def test_text_and_binary_are_read_alike() -> None:
    parsed = parse_custom_validations(TEXT)
    assert parse_custom_validations(parsed) == parsed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"feature_validation {}", "not a TFDV CustomValidationConfig"),
        (b"", "holds no validations"),
        (TEXT.replace(b"severity: ERROR", b""), "needs a severity"),
        (TEXT.replace(b"sql_expression: 'feature.num_stats.mean > 1'", b""), "has no sql_expression"),
    ],
    ids=["a misspelt field", "nothing", "no severity", "no SQL"],
)
def test_what_cannot_be_used_is_a_configuration_error(text: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_custom_validations(text)
