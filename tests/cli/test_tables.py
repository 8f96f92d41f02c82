"""What the tables of the commands print."""

import pytest

from charlm.cli.tables import format_duration


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (20_820, "5 h 47 min"),
        (7 * 24 * 3600 + 61, "168 h 01 min"),
    ],
)
def test_durations(duration_s: float, text: str) -> None:
    """A duration is seconds, minutes and seconds, or hours and minutes, also at the limits between them."""
    assert format_duration(duration_s) == text
