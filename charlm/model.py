"""The language model: character ids in, logits of the next character out, state passed explicitly.

Dimensions: B batch, T time, E embedding, H hidden width, V vocabulary, L layers.
"""

import torch
from torch import Tensor, nn

from charlm.lstm import LSTM
from charlm.lstm.dropout import apply_locked_dropout, drop_symbols
from charlm.lstm.initialization import HIDDEN_RMS, draw_normal, draw_uniform
from charlm.lstm.kernels.lookup import Characters
from charlm.lstm.layers import States

LOGIT_SIZE = 0.5
"""Root mean square of the logits at the start, without their bias."""


class CharLM(nn.Module):
    """Embedding, L layers of LSTM, and a projection to the vocabulary.

    Args:
        vocabulary_size: V, at least 1.
        num_layers: L, at least 1.
        hidden_size: H, at least 1.
        embed_size: E, at least 1.
        dropout: fraction of each layer's output features that are dropped in training, 0 to below 1.
        dropconnect: fraction of the recurrent weights that are dropped in training, 0 to below 1.
        embedding_dropout: fraction of the symbols whose embedding is dropped in training, 0 to below 1.
        kernel: ``auto`` or the name of a kernel; the weights are the same whatever the kernel.
        generator: draws the initial weights, on the CPU; None for torch's default one.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_layers: int,
        hidden_size: int,
        embed_size: int,
        dropout: float = 0.0,
        dropconnect: float = 0.0,
        embedding_dropout: float = 0.0,
        kernel: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.embedding: nn.Embedding = nn.utils.skip_init(nn.Embedding, vocabulary_size, embed_size)  # type: ignore[no-untyped-call]
        draw_normal(self.embedding.weight, generator)
        self.lstm = LSTM(embed_size, hidden_size, num_layers, dropout, dropconnect, kernel, generator)
        self.embedding_dropout, self.output_dropout = embedding_dropout, dropout
        self.output: nn.Linear = nn.utils.skip_init(nn.Linear, hidden_size, vocabulary_size)  # type: ignore[no-untyped-call]
        draw_uniform(self.output.weight, LOGIT_SIZE / HIDDEN_RMS, generator)
        self.output.bias.data.zero_()

    @torch.no_grad()
    def start_from_frequencies(self, counts: Tensor) -> None:
        """Set the output bias so that with a zero projection the model predicts each symbol with its frequency.

        Args:
            counts: how often each symbol occurs in the training part, (V,); a symbol that does not occur counts as 1.
        """
        logs = counts.clamp(min=1).double().log()
        self.output.bias.copy_(logs - logs.mean())

    def initial_state(self, batch_size: int) -> States:
        """Return the state at the start of a text: zeros, (B, H) each."""
        return self.lstm.initial_state(batch_size)

    def forward(self, ids: Tensor, states: States, generator: torch.Generator | None = None) -> tuple[Tensor, States]:
        """Score the next character at every place of a batch of sequences.

        Args:
            ids: characters, (B, T), int64 in 0..V-1.
            states: the state before the first character, from ``initial_state`` or an earlier call; not modified.
            generator: draws the dropout masks in training mode, on the CPU; None for torch's default one.

        Returns:
            Logits (B, T, V) of the character that follows each place, and the state after the last one.
        """
        hidden, states = self.run_layers(ids, states, generator)
        return self.project(hidden), states

    def run_layers(
        self, ids: Tensor, states: States, generator: torch.Generator | None = None
    ) -> tuple[Tensor, States]:
        """Return the last layer's hidden states, (T, B, H), dropout applied, and the state after the last character.

        The arguments are those of ``forward``.
        """
        embedding = self.embedding.weight
        if self.training:
            embedding = drop_symbols(embedding, self.embedding_dropout, generator)
        hidden, states = self.lstm(Characters(embedding, ids.T), states, generator)
        if self.training:
            hidden = apply_locked_dropout(hidden, self.output_dropout, generator)
        return hidden, states

    def project(self, hidden: Tensor) -> Tensor:
        """Return the logits (B, T, V) of hidden states (T, B, H)."""
        logits: Tensor = self.lstm.kernel.project(hidden, self.output.weight, self.output.bias)  # (T, B, V)
        return logits.transpose(0, 1)

    def mean_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of targets (B, T) under logits (B, T, V), in nats, float32."""
        rows = logits.transpose(0, 1).flatten(0, 1)  # (T B, V), in the order in memory
        return self.lstm.kernel.mean_loss(rows, targets.T.flatten())

    def step(self, ids: Tensor, states: States) -> tuple[Tensor, States]:
        """Score the next character after one more: ids (B,) to logits (B, V), stepping the cells themselves."""
        hidden, states = self.lstm.step(self.embedding(ids), states)
        return self.output(hidden), states
