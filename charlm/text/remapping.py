"""The ids of a text in another vocabulary, computed in pieces when they are read, so that they take no memory."""

from bisect import bisect_left, bisect_right

import torch
from torch import Tensor

from charlm.text.corpus import Corpus
from charlm.text.vocabulary import Vocabulary

PIECE_LENGTH = 1 << 15
"""Characters that are mapped at a time; one number is stored for each such piece of the text."""


class RemappedIds:
    """The ids of a corpus in another vocabulary than its own, without the characters that this vocabulary lacks.

    Attributes:
        num_unknown: number of characters left out.

    Args:
        corpus: the text.
        vocabulary: the other vocabulary.
    """

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary) -> None:
        self._ids = corpus.ids
        symbols = corpus.vocabulary.symbols
        self._table = torch.tensor([vocabulary.ids.get(symbol, -1) for symbol in symbols])  # (V,)
        self.num_unknown = int(corpus.counts[self._table < 0].sum())
        self._starts = [0]  # of each piece, and the end of the last, among the known characters
        for start in range(0, len(self._ids), PIECE_LENGTH):
            self._starts.append(self._starts[-1] + len(self._remap(start, start + PIECE_LENGTH)))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, place: slice) -> Tensor:
        """Return the new ids of a stretch of the known characters, (n,) int64."""
        start, end, _ = place.indices(len(self))
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, end)
        pieces = [self._remap(n * PIECE_LENGTH, (n + 1) * PIECE_LENGTH) for n in range(first, max(last, first + 1))]
        return torch.cat(pieces)[start - self._starts[first] :][: end - start]

    def _remap(self, start: int, end: int) -> Tensor:
        """Return the new ids of the known ones among the old ids from start to end."""
        ids = self._table.index_select(0, self._ids[start:end].to(torch.int32))  # uint16 is no index
        return ids[ids >= 0]
