"""Messages of one tf.Example each; changes with what of an example is more than a feature."""

from __future__ import annotations

from collectors.wire.answers import Choice, prediction_of
from collectors.wire.examples import columns_of, parsed_example, values_of
from collectors.wire.requests import Body, Message
from collectors.wire.tensors import Column


class ExampleReader:
    """Reads tf.Example messages; `choice.output` names the feature that is the model's output, if any is."""

    def __init__(self, choice: Choice) -> None:
        """Read with this choice."""
        self._choice = choice

    def __call__(self, message: Message) -> Body:
        """Return the features of the example; raises InvalidRecord."""
        features = columns_of([values_of(parsed_example(message.value))])
        outputs: dict[str, Column] = {}
        output = self._choice.output
        if output is not None and output in features:
            outputs[output] = features.pop(output)
        return Body(1, features, prediction_of(outputs, 1, self._choice))
