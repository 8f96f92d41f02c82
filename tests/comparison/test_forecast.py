"""The expected duration of a comparison."""

import pytest
import torch

from charlm.comparison import forecast
from charlm.comparison.forecast import Forecast, measure_run
from charlm.config import Config
from charlm.text.corpus import load_corpus


@pytest.mark.parametrize(
    ("observed", "left_s"),
    [
        ({}, (2 * 10 + 3 * 20) / 2),
        ({"a": [20.0, 40.0]}, (2 * 30 + 3 * 60) / 2),  # b is corrected by the same factor
        ({"a": [20.0], "b": [10.0]}, (2 * 20 + 3 * 10) / 2),
    ],
)
def test_forecast_is_corrected_by_what_ends(observed: dict[str, list[float]], left_s: float) -> None:
    """The durations of an arm's runs replace the measured one, and their ratio corrects the other arms."""
    expected = Forecast({"a": 10.0, "b": 20.0}, num_jobs=2)
    for name, durations_s in observed.items():
        for duration_s in durations_s:
            expected.observe(name, duration_s)
    assert expected.left_s({"a": 2, "b": 3}, 0.0) == pytest.approx(left_s)
    assert expected.left_s({"a": 2, "b": 3}, 8.0) == pytest.approx(left_s - 4)
    assert expected.left_s({"a": 0, "b": 0, "finished": 0}, 8.0) == 0


@pytest.mark.parametrize(("average_decay", "num_models"), [(0.0, 1), (0.8, 2)])
def test_validations_are_included(
    config: Config, monkeypatch: pytest.MonkeyPatch, average_decay: float, num_models: int
) -> None:
    """A run takes its steps and its validations of the whole part, of two models where weights are averaged."""
    seconds = iter([0.0, 5.0])
    config = config.replace("train", average_decay=average_decay, max_steps=25, eval_every=10)
    monkeypatch.setattr(forecast, "measure_speed", lambda _: 64.0)  # one step a second
    monkeypatch.setattr(forecast, "MEASURED_CHARS", 20)
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: next(seconds))
    corpus = load_corpus(config.data.path, config.data.level)
    num_chars = round(len(corpus.ids) * config.data.val_frac)
    assert measure_run(config, corpus, 1) == pytest.approx(25 + 3 * num_models * 5 / 20 * num_chars, rel=0.02)


@pytest.mark.parametrize("is_failing", [False, True])
def test_measuring_leaves_the_number_of_threads(
    config: Config, monkeypatch: pytest.MonkeyPatch, is_failing: bool
) -> None:
    """The duration is measured with the threads that each run will have, and torch has its own afterwards."""
    seen = []

    def measure(_: object) -> float:
        seen.append(torch.get_num_threads())
        if is_failing:
            raise RuntimeError("out of memory")
        return 1e6

    monkeypatch.setattr(forecast, "measure_speed", measure)
    corpus = load_corpus(config.data.path, config.data.level)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        if is_failing:
            with pytest.raises(RuntimeError, match="out of memory"):
                measure_run(config, corpus, 2)
        else:
            measure_run(config, corpus, 2)
        assert torch.get_num_threads() == 4
        assert seen == [2]
    finally:
        torch.set_num_threads(before)
