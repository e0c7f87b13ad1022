"""CLIP's text encoder on a tiny snapshot: sentences, embeddings, context vectors before the text."""

import pytest
import torch

import snapshots
from sentio.affect.backbones.text import ClipTextEncoder, with_context
from snapshots import END, START, WORDS

AB, CD = WORDS.index("ab</w>"), WORDS.index("cd</w>")


@pytest.fixture
def clip(tmp_path):
    return snapshots.write_clip(tmp_path), ClipTextEncoder(str(tmp_path))


def test_a_sentence_gets_the_published_vector_whatever_it_is_padded_to(clip):
    model, texts = clip
    with torch.no_grad():
        alone = model.get_text_features(input_ids=torch.tensor([[START, AB, CD, END]])).pooler_output
        torch.testing.assert_close(texts(["ab cd", "e f g h"])[:1], alone)
        torch.testing.assert_close(texts(["ab cd"]), alone)
    assert texts.info.dim == 12 and texts.info.name == "clip-text"
    assert not any(value.requires_grad for value in texts.parameters())


def test_tokens_and_ends_are_those_of_the_tokenizer(clip):
    tokens, end = clip[1].tokenize(["ab cd", "e"])
    assert tokens.tolist() == [[START, AB, CD, END], [START, WORDS.index("e</w>"), END, END]]
    assert end.tolist() == [3, 2]


def test_a_long_sentence_is_cut_and_leaves_room_for_context(clip):
    texts = clip[1]
    assert texts(["ab cd " * 40]).isfinite().all()
    tokens, end = texts.tokenize(["ab cd " * 40, "ab"], room=5)
    assert tokens.shape == (2, texts.places - 5) and end.tolist() == [texts.places - 6, 2]
    joined, last = with_context(texts.embed(tokens), end, torch.zeros(5, texts.width))
    assert texts.encode(joined, last).isfinite().all() and last.tolist() == [texts.places - 1, 7]


def test_context_that_is_the_embedding_of_words_says_these_words(clip):
    texts = clip[1]
    words = texts.embed(torch.tensor([AB, CD]))
    embeddings, end = with_context(texts.embed(texts.tokenize(["e", "f g"])[0]), texts.tokenize(["e", "f g"])[1], words)
    torch.testing.assert_close(texts.encode(embeddings, end), texts(["ab cd e", "ab cd f g"]))
    own = torch.stack([words, words.flip(0)])  # another for each text
    embeddings, end = with_context(texts.embed(texts.tokenize(["e", "f g"])[0]), texts.tokenize(["e", "f g"])[1], own)
    torch.testing.assert_close(texts.encode(embeddings, end), texts(["ab cd e", "cd ab f g"]))


def test_context_learns_and_the_encoder_does_not(clip):
    texts = clip[1]
    context = torch.nn.Parameter(torch.randn(3, texts.width))
    tokens, end = texts.tokenize(["ab", "cd e"])
    texts.encode(*with_context(texts.embed(tokens), end, context)).square().sum().backward()
    assert context.grad.abs().sum(1).min() > 0
    assert all(value.grad is None for value in texts.parameters())
