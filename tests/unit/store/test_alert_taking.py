"""What an Alertmanager says of an alert, in whatever order its words come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.store.alert_taking import taken

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def said(state: AlertState, began: datetime) -> Alert:
    ended = began + HOUR if state is AlertState.RESOLVED else None
    return Alert({"alertname": "A"}, {}, state, Origin.ALERTMANAGER, began, fired_at=began, resolved_at=ended)


words = st.lists(
    st.tuples(st.sampled_from([AlertState.FIRING, AlertState.RESOLVED]), st.integers(0, 3)), min_size=1, max_size=6
)


@given(words, st.data())
def test_in_whatever_order_and_number_words_come_the_last_beginning_decides(
    spoken: list[tuple[AlertState, int]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(spoken + spoken[:2]))
    alert = None
    for state, hour in order:
        after = taken(alert, said(state, NOON + hour * HOUR), NOON + 9 * HOUR)
        alert = alert if after is None else after
    assert alert is not None
    newest = max(hour for _, hour in spoken)
    ended = (AlertState.RESOLVED, newest) in spoken
    assert alert.fired_at == NOON + newest * HOUR
    assert alert.state is (AlertState.RESOLVED if ended else AlertState.FIRING)
