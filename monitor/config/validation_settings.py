"""What a model's settings may say of custom validations; changes with what a rule over a window's rows can ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from monitor.config.strict import Strict


class ValidationRule(Strict):
    """One rule over the rows of a window: a SQL expression that is true or false, or a number held against limits."""

    name: str = Field(
        description="Name of the rule, the `measure` of its findings.", pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$"
    )
    sql: str = Field(description="An expression over all rows of the window, such as `avg(fare) > 0`.", min_length=1)
    severity: Literal["error", "warning"] = Field(
        "error", description="What a broken rule does: an error flags the window, a warning informs."
    )
    min: float | None = Field(None, description="Smallest value that holds, for an expression that is a number.")
    max: float | None = Field(None, description="Largest value that holds, for an expression that is a number.")
    min_rows: int = Field(1, ge=0, description="Rows below which the window is too small for a verdict.")
    description: str | None = Field(None, description="What the rule is for, shown where it is broken.")

    @model_validator(mode="after")
    def _limits_in_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min is {self.min:g} and max is {self.max:g}: no value would hold")
        return self

    @property
    def limited(self) -> bool:
        """The expression is a number that is held against limits; otherwise it is true or false."""
        return self.min is not None or self.max is not None


def _named_once(rules: Sequence[ValidationRule]) -> Sequence[ValidationRule]:
    twice = sorted(name for name, times in Counter(rule.name for rule in rules).items() if times > 1)
    if twice:
        raise ValueError(f"two rules have the name {twice[0]!r}; findings are told apart by it")
    return rules


ValidationRules = Annotated[list[ValidationRule], AfterValidator(_named_once)]
