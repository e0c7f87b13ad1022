import subprocess
import sys

import numpy as np

from sentio.affect import labels


def test_lsd_ids_are_the_eight_class_ids_minus_one():
    lsd = np.arange(6)
    expression = labels.lsd_to_expression(lsd)
    assert [labels.EXPRESSIONS[i] for i in expression] == list(labels.EXPRESSIONS_LSD)
    assert (labels.expression_to_lsd(expression) == lsd).all()


def test_classes_that_lsd_lacks_become_missing():
    assert labels.expression_to_lsd(np.array([0, 7, -1])).tolist() == [-1, -1, -1]
    assert labels.lsd_to_expression(np.array([-1])).tolist() == [-1]


def test_either_value_missing_drops_valence_and_arousal():
    values = np.array([[0.5, -0.5], [-5, 0.1], [0.1, -5], [np.nan, 0], [1, -1], [1.01, 0]])
    assert labels.valid_valence_arousal(values).tolist() == [True, False, False, False, True, False]


def test_expression_and_action_unit_masks():
    assert labels.valid_expression(np.array([-1, 0, 7, 8])).tolist() == [False, True, True, False]
    assert labels.valid_action_units(np.array([[-1, 0, 1, 2]])).tolist() == [[False, True, True, False]]


def test_labels_need_no_torch():
    code = "import sys, sentio.affect.labels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
