"""Outcomes of runs that were never trained."""

from charlm.comparison.outcome import Curve, Outcome


def make_outcome(val_loss_nats: float, seed: int = 0) -> Outcome:
    """Return the outcome of a run with one validation."""
    return Outcome(
        directory="run",
        seed=seed,
        val_loss_nats=val_loss_nats,
        test_loss_nats=val_loss_nats + 0.1,
        best_step=1,
        num_chars=64,
        elapsed_s=1.0,
        chars_per_s=64.0,
        baselines_bits={},
        curve=Curve(num_chars=[64], elapsed_s=[1.0], loss_nats=[val_loss_nats]),
    )
