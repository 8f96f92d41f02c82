#!/usr/bin/env python3
"""Simulate comparisons whose truth is known, and count the false verdicts of several rules and the effects they find.

A loss is the mean of its arm plus normal noise; the unit is the standard deviation over seeds. docs/statistics.md has
the printed tables. The rule that charlm uses is ``larger``, with Holm's correction.

Symbols: S simulated reports, K arms (depths) of a report, N seeds of an arm, P pairs of arms.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, product

import click
import numpy as np
import numpy.typing as npt
from scipy import special

from charlm.comparison.statistics import ALPHA, find_study_size
from charlm.comparison.table import format_table

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rule = Callable[[Floats], Floats]
"""Takes losses (S, K, N) and returns the p-value of every pair of arms, (S, P)."""

MAX_SEEDS = 30  # users who follow advice stop there
NUM_TRIALS = 8  # of the tuning of each arm

RATE_COSTS = (1.0, 10.0)
"""How much higher the loss is at the ends of the searched range of learning rates than at the best one."""


def _test(gains: Floats, variances: Floats, df: Floats | float) -> Floats:
    """Return two-sided p-values of gains (S, P) with the variances of their estimates."""
    p_values: Floats = 2 * special.stdtr(df, -np.abs(gains) / np.sqrt(variances))
    return p_values


def _pairs(values: Floats) -> list[tuple[Floats, Floats]]:
    return [(values[:, first], values[:, second]) for first, second in combinations(range(values.shape[1]), 2)]


def _gains(losses: Floats) -> Floats:
    return np.stack([first - second for first, second in _pairs(losses.mean(2))], axis=1)  # (S, P)


def paired(losses: Floats) -> Floats:
    """Student's t on the differences between runs of equal seeds."""
    N = losses.shape[2]
    differences = np.stack([first - second for first, second in _pairs(losses)], axis=1)  # (S, P, N)
    return _test(differences.mean(2), differences.var(2, ddof=1) / N, N - 1)


def blocks(losses: Floats) -> Floats:
    """Pairing with pooled variance: that which arms and seeds as two factors leave unexplained."""
    _, K, N = losses.shape
    residuals = losses - losses.mean(2, keepdims=True)
    residuals = residuals - residuals.mean(1, keepdims=True)
    df = (K - 1) * (N - 1)
    return _test(_gains(losses), 2 / N * (residuals**2).sum((1, 2))[:, None] / df, df)


def welch(losses: Floats) -> Floats:
    """Two samples, each with its own variance."""
    N = losses.shape[2]
    p_values = []
    for (first, second), (one, other) in zip(_pairs(losses.mean(2)), _pairs(losses.var(2, ddof=1)), strict=True):
        df = (N - 1) * (one + other) ** 2 / (one**2 + other**2)
        p_values.append(_test(first - second, (one + other) / N, df))
    return np.stack(p_values, axis=1)


def pooled(losses: Floats) -> Floats:
    """Two samples, with the variance pooled over all arms."""
    _, K, N = losses.shape
    return _test(_gains(losses), 2 / N * losses.var(2, ddof=1).mean(1)[:, None], K * (N - 1))


def larger(losses: Floats) -> Floats:
    """Two samples, with the variance pooled over all arms, or over the two where that is larger."""
    _, K, N = losses.shape
    own = np.stack([(one + other) / 2 for one, other in _pairs(losses.var(2, ddof=1))], axis=1)  # (S, P)
    variances = np.maximum(own, losses.var(2, ddof=1).mean(1)[:, None])
    return _test(_gains(losses), 2 / N * variances, K * (N - 1))


RULES: dict[str, Rule] = {"paired": paired, "blocks": blocks, "Welch": welch, "pooled": pooled, "larger": larger}


def correct(p_values: Floats) -> Floats:
    """Return the p-values of reports (S, P), corrected by Holm for the P comparisons of each."""
    P = p_values.shape[1]
    order = p_values.argsort(1)
    ordered = np.maximum.accumulate(np.take_along_axis(p_values, order, 1) * np.arange(P, 0, -1), axis=1)
    corrected = np.empty_like(p_values)
    np.put_along_axis(corrected, order, ordered, 1)
    return corrected


def _any(values: Bools) -> Bools:
    """Return whether any pair of each report is true, (S,)."""
    return np.asarray(values.any(axis=1))


def _percent(shares: Sequence[Bools], digits: int = 1) -> str:
    return " / ".join(f"{100 * share.mean():.{digits}f}" for share in shares)


def tabulate_false(draw: Callable[..., Floats], sds: Sequence[Sequence[float]], correlation: float) -> str:
    """Return the percentages of reports with a false verdict, without and with Holm's correction."""
    rows = []
    for sd in sds:
        for N in (3, 5, 10):
            losses = draw(len(sd), N, correlation) * np.array(sd)[:, None]
            p_values = [rule(losses) for rule in RULES.values()]
            cells = [_percent([_any(each < ALPHA), _any(correct(each) < ALPHA)]) for each in p_values]
            rows.append([" ".join(f"{value:.3g}" for value in sd), f"{N}", *cells])
    return format_table(["sd of the arms", "seeds", *RULES], rows)


def tabulate_power(draw: Callable[..., Floats], correlation: float) -> str:
    """Return the percentages with which effects of 1, 2 and 3 are found after Holm's correction."""
    rows = []
    for K in (2, 3, 5):
        for N in (3, 5, 10):
            losses = draw(K, N, correlation)
            shifts = [np.where(np.arange(K) == 0, effect, 0.0)[:, None] for effect in (1, 2, 3)]
            cells = [
                _percent([correct(rule(losses + shift))[:, 0] < ALPHA for shift in shifts], 0)
                for rule in RULES.values()
            ]
            rows.append([f"{K}", f"{N}", *cells])
    return format_table(["arms", "seeds", *RULES], rows)


def tabulate_tuning(draw: Callable[..., Floats], random: np.random.Generator) -> str:
    """Return false verdicts and power where arms differ by their tuning, without and with its spread as a bound."""
    rows = []
    for cost, (K, N) in product(RATE_COSTS, ((2, 5), (3, 5), (3, 10), (5, 5))):
        losses = draw(K, N, 0.0)
        costs = cost * random.uniform(-1, 1, (len(losses), K, NUM_TRIALS)) ** 2
        observed = costs + random.standard_normal(costs.shape)
        excess = np.take_along_axis(costs, observed.argmin(2)[:, :, None], 2)  # (S, K, 1)
        best = np.sort(observed, 2)
        bounds = np.stack([one + other for one, other in _pairs(best[:, :, 2] - best[:, :, 0])], axis=1)  # (S, P)
        cells = []
        for effect in (0, 3):
            shifted = losses + excess + np.where(np.arange(K) == 0, effect, 0.0)[:, None]
            decided = correct(larger(shifted)) < ALPHA
            both = decided, decided & (np.abs(_gains(shifted)) >= bounds)
            cells.append(_percent([each[:, 0] if effect else _any(each) for each in both]))
        rows.append([f"{excess.std():.2f}", f"{K}", f"{N}", *cells])
    return format_table(["sd by tuning", "arms", "seeds", "false", "effect of 3 found"], rows)


def _prefix(losses: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance (S, n) of the first 2 ... n + 1 of values (S, N)."""
    n = np.arange(1, losses.shape[1] + 1)
    mean = losses.cumsum(1) / n
    variance = ((losses**2).cumsum(1) - n * mean**2) / np.maximum(n - 1, 1)
    return mean[:, 1:], variance[:, 1:]


def follow_advice(losses: Floats) -> Bools:
    """Return whether a verdict falls where seeds are added as a paired report advises; losses (S, 2, N)."""
    mean, variance = _prefix(losses[:, 0] - losses[:, 1])
    n = np.arange(2, losses.shape[2] + 1)
    bound = special.stdtrit(n - 1, 1 - ALPHA / 2) / np.sqrt(n)  # of |mean| / sd
    number = np.full(len(losses), 3)
    for _ in range(losses.shape[2]):
        effect = np.abs(mean / np.sqrt(variance))[np.arange(len(number)), number - 2]
        needed = n[np.minimum((bound[None] >= effect[:, None]).sum(1), len(n) - 1)]
        number = np.maximum(number, needed)
    return np.asarray(np.abs(mean / np.sqrt(variance))[np.arange(len(number)), number - 2] > bound[number - 2])


def follow_fresh_study(losses: Floats, first: Floats) -> tuple[Bools, Bools]:
    """Return whether the first study (S, 2, 3) decides, and whether a fresh one of the advised size then does."""
    decided = larger(first)[:, 0] < ALPHA
    effects = np.abs(_gains(first)[:, 0]) / np.sqrt(first.var(2, ddof=1).mean(1))
    grid = np.linspace(0, 4, 401)
    sizes = np.array([find_study_size(effect, 2, 1) or MAX_SEEDS + 1 for effect in grid])
    size = sizes[np.minimum((effects * 100).astype(int), 400)]
    fresh = np.zeros_like(decided)
    for N in range(2, MAX_SEEDS + 1):
        chosen = ~decided & (size == N)
        if chosen.any():
            fresh[chosen] = larger(losses[chosen, :, :N])[:, 0] < ALPHA
    return decided, fresh


@click.command()
@click.option("--reports", "num_reports", default=20_000, show_default=True, help="Simulated reports for each cell.")
def main(num_reports: int) -> None:
    """Print the tables of docs/statistics.md."""
    random = np.random.default_rng(1)

    def draw(K: int, N: int, correlation: float) -> Floats:
        own, shared = random.standard_normal((num_reports, K, N)), random.standard_normal((num_reports, 1, N))
        return np.asarray(np.sqrt(1 - correlation) * own + np.sqrt(correlation) * shared)

    equal = [[1.0] * K for K in (2, 3, 5)]
    unequal = [[*[1.0] * (K - 1), sd] for sd in (2**0.5, 2.0) for K in (2, 3, 5)]
    click.echo(f"## False verdicts, independent seeds\n\n{tabulate_false(draw, equal, 0.0)}\n")
    click.echo(f"## False verdicts, pairs correlated by 0.5\n\n{tabulate_false(draw, equal, 0.5)}\n")
    click.echo(f"## False verdicts, unequal standard deviations\n\n{tabulate_false(draw, unequal, 0.0)}\n")
    click.echo(f"## Effects of 1 / 2 / 3 found, independent seeds\n\n{tabulate_power(draw, 0.0)}\n")
    click.echo(f"## Effects of 1 / 2 / 3 found, pairs correlated by 0.5\n\n{tabulate_power(draw, 0.5)}\n")
    click.echo(f"## Arms that differ by their tuning\n\n{tabulate_tuning(draw, random)}\n")
    added = follow_advice(draw(2, MAX_SEEDS, 0.0))
    decided, fresh = follow_fresh_study(draw(2, MAX_SEEDS, 0.0), draw(2, 3, 0.0))
    shares = [added, decided, fresh[~decided], decided | fresh]
    names = ["seeds added as advised", "first study", "fresh study after it", "either of the two"]
    click.echo(f"## Advice followed\n\n{format_table(names, [[_percent([share]) for share in shares]])}")


if __name__ == "__main__":
    main()
