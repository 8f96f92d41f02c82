"""The length of the runs of a comparison: characters to steps, with a schedule that is planned for them."""

from charlm.config import Config


def count_steps(config: Config, num_chars: int) -> int:
    """Return the steps that train on a number of characters, rounded up."""
    return -(-num_chars // (config.train.batch_size * config.train.seq_length))


def set_length(config: Config, num_chars: int) -> Config:
    """Return a configuration that trains on so many characters.

    The warm-up keeps its fraction of the steps, the cosine ends with the last one, and there are about as many
    validations as in the configured run.
    """
    num_steps = count_steps(config, num_chars)
    factor = num_steps / config.train.max_steps
    return config.replace(
        "train",
        max_steps=num_steps,
        warmup_steps=round(config.train.warmup_steps * factor),
        eval_every=max(1, round(config.train.eval_every * factor)),
    )
