"""What every test of the room looks at."""

import pytest

from charlm.inference.trained import TrainedModel
from charlm.inspection.inspection import Inspection, inspect_text


@pytest.fixture(scope="session")
def inspection(trained: TrainedModel) -> Inspection:
    """Return what is measured about 5,000 characters of the song, the default length of a page."""
    return inspect_text(trained, trained.load_split("train")[:5000].long(), "the song")
