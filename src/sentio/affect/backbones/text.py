"""CLIP's text encoder, frozen: sentences to vectors, or embeddings to vectors, with learnt context before the text."""

from typing import Any, cast

import torch
import transformers
from torch import Tensor

from sentio.affect.backbones.frozen import TOKENS, Frozen
from sentio.affect.backbones.snapshots import describe, guard, load, read_json, snapshot
from sentio.core.errors import WeightsError


class ClipTextEncoder(Frozen):
    """N sentences -> (N, D): the projected text embedding, not normalised; comparable with CLIP's of pictures.

    ``tokenize``, ``embed`` and ``encode`` are the three parts of it. Learnt context vectors are put in between (CoOp,
    Zhou et al., 2022): ``encode(*with_context(embed(tokens), end, context))``. The weights are frozen, and gradients
    reach the embeddings.

    Attributes:
        width: length of an embedding.
        places: longest text, in tokens with start and end.
    """

    def __init__(self, name: str, *, fetch: bool = False) -> None:
        folder = snapshot(name, fetch=fetch)
        model = load(transformers.CLIPTextModelWithProjection, folder)
        super().__init__(model, describe("clip-text", name, folder, dim=model.config.projection_dim), name, folder)
        self.width: int = model.config.hidden_size
        self.places: int = model.config.max_position_embeddings
        self.tokenizer: Any = None
        self.files[TOKENS] = read_json(folder, TOKENS) if (folder / TOKENS).is_file() else {}
        if not self.files[TOKENS]:
            self.tokenizer = guard(
                folder, lambda: transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
            )

    def forward(self, sentences: list[str]) -> Tensor:
        tokens, end = self.tokenize(sentences)
        return self.encode(self.embed(tokens), end)

    def tokenize(self, sentences: list[str], *, room: int = 0) -> tuple[Tensor, Tensor]:
        """Tokens (N, L) int64, the shorter sentences padded, and the place of each end token, (N,) int64.

        Args:
            room: places kept free for context vectors; longer sentences are cut.
        """
        rows = [self._numbers(sentence, self.places - room) for sentence in sentences]
        longest = max(map(len, rows))
        tokens = torch.tensor([row + row[-1:] * (longest - len(row)) for row in rows])  # (N, L)
        device = next(self.model.parameters()).device
        return tokens.to(device), torch.tensor([len(row) - 1 for row in rows], device=device)

    def _numbers(self, sentence: str, longest: int) -> list[int]:
        """The tokens of a sentence, which are kept: a trained system needs no tokenizer."""
        known = self.files[TOKENS]
        if sentence not in known:
            if self.tokenizer is None:
                raise WeightsError(f"The tokenizer of {self.snapshot} is not here, to read {sentence!r}.")
            known[sentence] = self.tokenizer(sentence)["input_ids"]
        numbers: list[int] = known[sentence]
        return numbers if len(numbers) <= longest else [*numbers[: longest - 1], numbers[-1]]

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L) -> embeddings (N, L, width), without positions."""
        return cast(Tensor, self._tower.embeddings.token_embedding(tokens))

    def encode(self, embeddings: Tensor, end: Tensor) -> Tensor:
        """Embeddings (N, L, width) that end at ``end`` (N,) -> (N, D); what follows the end has no influence."""
        N, L = embeddings.shape[:2]
        x = self._tower.embeddings(inputs_embeds=embeddings)  # positions added
        later = torch.ones(L, L, dtype=torch.bool, device=x.device).triu(1)
        mask = x.new_zeros(N, 1, L, L).masked_fill(later, torch.finfo(x.dtype).min)
        x = self._tower.encoder(inputs_embeds=x, attention_mask=mask).last_hidden_state  # (N, L, width)
        last = self._tower.final_layer_norm(x)[torch.arange(N, device=x.device), end]  # (N, width)
        return cast(Tensor, cast(Any, self.model).text_projection(last))

    @property
    def _tower(self) -> Any:
        return cast(Any, self.model).text_model


def with_context(embeddings: Tensor, end: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """Put context vectors between start token and text: embeddings (N, M + L, width), end (N,).

    Args:
        embeddings: (N, L, width).
        end: (N,), place of the end token.
        context: (M, width), the same for all texts, or (N, M, width).
    """
    context = context.expand(len(embeddings), *context.shape[-2:])  # (N, M, width)
    joined = torch.cat([embeddings[:, :1], context, embeddings[:, 1:]], 1)
    return joined, end + context.shape[1]
