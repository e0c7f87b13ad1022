from dataclasses import replace

import pytest
import torch

from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.core.errors import InputError

B, T, D = 2, 5, 7


def batch(**changes):
    fields = {
        "face_valid": torch.ones(B, T, dtype=torch.bool),
        "time_s": torch.zeros(B, T),
        "source": torch.zeros(B, dtype=torch.int64),
        "face_feature": torch.zeros(B, T, D),
        "valence_arousal": torch.zeros(B, 1, 2),
        "valence_arousal_valid": torch.ones(B, 1, dtype=torch.bool),
    }
    return AffectBatch(**(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"face_valid": torch.ones(B, T)},
        {"face_valid": torch.ones(B, T, 1, dtype=torch.bool)},
        {"time_s": torch.zeros(B, T + 1)},
        {"source": torch.zeros(B)},
        {"face_feature": None},
        {"face": torch.zeros(B, T, 3, 8, 8)},
        {"face": torch.zeros(B, T, 1, 8, 8), "face_feature": None},
        {"valence_arousal": torch.zeros(B, 2, 2), "valence_arousal_valid": torch.ones(B, 2, dtype=torch.bool)},
        {"valence_arousal_valid": None},
        {"valence_arousal_valid": torch.ones(B, T, dtype=torch.bool)},
        {"expression": torch.zeros(B, 1), "expression_valid": torch.ones(B, 1, dtype=torch.bool)},
        {"action_units": torch.zeros(B, 1, 8), "action_units_valid": torch.ones(B, 1, 8, dtype=torch.bool)},
        {"audio": torch.zeros(B, 100)},
        {"audio_valid": torch.ones(B, 100, dtype=torch.bool)},
        {
            "audio": torch.zeros(B, 100),
            "audio_feature": torch.zeros(B, 100, 3),
            "audio_valid": torch.ones(B, 100, dtype=torch.bool),
        },
    ],
)
def test_a_batch_that_breaks_the_contract_is_refused(changes):
    with pytest.raises(InputError):
        batch(**changes)


def test_labels_may_have_one_step_or_all():
    assert len(batch()) == B
    every = torch.zeros(B, T, dtype=torch.int64)
    with pytest.raises(InputError, match="expression"):  # one step for one label set, all for the other
        batch(expression=every, expression_valid=every.bool())
    batch(valence_arousal=None, valence_arousal_valid=None, expression=every, expression_valid=every.bool())


def test_the_message_names_the_field_and_the_sizes():
    with pytest.raises(InputError, match=r"time_s: shape \(2, 6\) is not \(B, T\) with B = 2, T = 5"):
        batch(time_s=torch.zeros(B, T + 1))


def test_to_moves_every_tensor_and_keeps_none():
    moved = batch().to("meta")
    assert moved.face_feature.device.type == moved.valence_arousal.device.type == "meta"
    assert moved.face is None


def test_an_output_answers_something_and_its_shapes_agree():
    output = AffectOutput(valence_arousal=torch.zeros(B, 1, 2), expression=torch.zeros(B, 1, 8))
    assert replace(output, features=torch.zeros(B, 1, 4)).features.shape == (B, 1, 4)
    for wrong in (
        {},
        {"expression": torch.zeros(B, 1, 6)},
        {"valence_arousal": torch.zeros(B, 1, 2), "action_units": torch.zeros(B, 2, 12)},
        {"valence_arousal": torch.zeros(B, 2)},
    ):
        with pytest.raises(InputError):
            AffectOutput(**wrong)
