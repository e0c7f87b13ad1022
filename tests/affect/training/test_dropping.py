"""What is hidden in training: as often as asked for, never all that a window has."""

import pytest
import torch

from sentio.affect.training.dropping import Dropping


def test_the_share_that_is_asked_for_is_hidden_and_never_both():
    torch.manual_seed(0)
    there = torch.rand(20_000, 3) > 0.2
    there[:, 0] = True
    seen, heard = Dropping(0.3, 0.2).draw(there, there[:, :2])
    assert seen.shape == (20_000, 3) and heard.shape == (20_000, 2)
    lost_face, lost_sound = ~seen.any(1), ~heard.any(1)
    assert not (lost_face & lost_sound).any()
    assert float(lost_face.float().mean()) == pytest.approx(0.3, abs=0.015)
    assert float(lost_sound.float().mean()) == pytest.approx(0.2, abs=0.015)
    assert torch.equal(seen[~lost_face], there[~lost_face])  # whole windows alone


def test_what_is_all_that_a_window_has_stays():
    here, gone = torch.ones(50, 2, dtype=torch.bool), torch.zeros(50, 4, dtype=torch.bool)
    for dropping in (Dropping(face=1.0), Dropping(sound=1.0), Dropping(0.5, 0.5)):
        assert dropping.draw(here, gone)[0].all() and dropping.draw(gone, here)[1].all()


def test_without_shares_nothing_is_hidden():
    there = torch.rand(50, 6) > 0.5
    assert all(torch.equal(part, there) for part in Dropping().draw(there, there))


@pytest.mark.parametrize("shares", [(-0.1, 0.0), (0.0, -0.1), (0.6, 0.5)])
def test_shares_that_cannot_be(shares):
    with pytest.raises(ValueError, match="together at most 1"):
        Dropping(*shares)
