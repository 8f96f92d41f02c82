"""The checkpoint of a session: what is saved of it, and how it is restored exactly."""

import math
from dataclasses import asdict
from typing import Any

from charlm.config import Config
from charlm.errors import CharlmError, DamagedError, InputError
from charlm.lstm import LSTMState
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.resumption import check_training_state, find_changes
from charlm.training.distribution import Group
from charlm.training.schedule import Decay, extend, plan_decay
from charlm.training.session import Interval, Session


def make_checkpoint(session: Session, is_resumable: bool) -> Checkpoint:
    """Return a checkpoint of the current model; if ``is_resumable``, with the training state.

    Raises:
        CharlmError: the weights are not finite; a checkpoint of them must not replace an earlier one.
    """
    if not all(bool(weight.isfinite().all()) for weight in session.model.parameters()):
        raise CharlmError(
            f"after step {session.step} the weights are not finite; earlier saves are intact. "
            "Lower train.learning_rate, and train in another directory."
        )
    return Checkpoint(
        config=session.config,
        vocabulary=session.corpus.vocabulary,
        corpus_digest=session.corpus.digest,
        step=session.step,
        loss_nats=session.last_loss_nats if math.isfinite(session.last_loss_nats) else None,
        garbage_frac=session.best_garbage_frac,
        weights=session.shown.state_dict(),
        training=_training_state(session) if is_resumable else {},
    )


def _training_state(session: Session) -> dict[str, Any]:
    return {
        "weights": session.model.state_dict(),  # stored once if they are the same tensors as the shown weights
        "optimizer": session.optimizer.state_dict(),
        "states": [list(state) for state in session.whole_states()],
        "random": session.generator.get_state(),
        "decay": asdict(session.decay),
        "best": list(session.best),
        "best_garbage_frac": session.best_garbage_frac,
        "last_loss_nats": session.last_loss_nats,
        "elapsed_s": session.elapsed_s,
        "skipped_in_a_row": session.skipped_in_a_row,
        "interval": asdict(session.interval),
    }


def restore(session: Session, checkpoint: Checkpoint) -> None:
    """Restore the state of a checkpoint; after an error, only restoring another checkpoint is allowed.

    Raises:
        InputError: the configuration or the corpus differs from that of the run.
        DamagedError: the training state of the checkpoint is damaged.
    """
    _refuse_changes(session, checkpoint)
    try:
        _restore_training_state(session, checkpoint)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        raise DamagedError(
            f"the run cannot resume from this checkpoint, its training state is damaged: {_reason(error)}."
        ) from None


def _reason(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(".")


def _restore_training_state(session: Session, checkpoint: Checkpoint) -> None:
    training, optimizer = _with_decay(checkpoint), session.optimizer
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    settings = checkpoint.config.train
    check_training_state(training, checkpoint.step, settings, parameters, session.model.state_dict(), session.states)
    session.shown.load_state_dict(checkpoint.weights)
    session.model.load_state_dict(training.get("weights", checkpoint.weights))
    # The parameter groups are determined by the configuration, which is the same.
    optimizer.load_state_dict(optimizer.state_dict() | {"state": training["optimizer"]["state"]})
    session.states = tuple(LSTMState(h.to(session.device), c.to(session.device)) for h, c in training["states"])
    session.generator.set_state(training["random"])
    session.step = checkpoint.step
    decay = Decay(**training["decay"])
    session.decay = extend(session.step, settings, session.config.train, decay)
    session.best = (training["best"][0], training["best"][1])
    session.best_garbage_frac = training.get("best_garbage_frac")
    session.last_loss_nats = training["last_loss_nats"]
    session.elapsed_s = training["elapsed_s"]
    session.skipped_in_a_row = training["skipped_in_a_row"]
    session.interval = Interval(**training["interval"])


def _with_decay(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the training state with its decay; older checkpoints store where the run was made longer, if it was."""
    training, settings = checkpoint.training, checkpoint.config.train
    if "decay" in training:
        return training
    decay = asdict(plan_decay(settings))
    if extension := training.get("extension"):
        decay |= {"start": extension["step"], "learning_rate": extension["learning_rate"]}
    return training | {"decay": decay}


def share(session: Session, group: Group) -> None:
    """Give all processes the state of the first one's session, and let them share the steps from then on.

    Raises:
        InputError: the configuration or the text of this process differs from that of the first one.
        CharlmError: another process has ended or does not answer.
    """
    checkpoint = make_checkpoint(session, is_resumable=True)
    names = ("corpus_digest", "step", "loss_nats", "weights", "training")
    plain = {"config": checkpoint.config.model_dump()} | {name: getattr(checkpoint, name) for name in names}
    received = group.hand_out(plain)
    if not group.is_first:
        config = Config.model_validate(received.pop("config"))
        restore(session, Checkpoint(config=config, vocabulary=session.corpus.vocabulary, **received))
    session.join(group)


def _refuse_changes(session: Session, checkpoint: Checkpoint) -> None:
    if checkpoint.corpus_digest != session.corpus.digest:
        raise InputError(
            f"{session.corpus.name}: the text differs from the one that the run started with. "
            "Give the same text, or start a new run with another --out."
        )
    changes = find_changes(checkpoint.config, session.config)
    if changes:
        raise InputError(
            "a run can resume only with the configuration that it started with; "
            + "; ".join(changes)
            + ". Omit the configuration to use the run's own, or start a new run with another --out."
        )
