"""A folder as `sentio synth` fills it, of cartoons that smile or not: what a model can learn in seconds."""

import json

import cv2
import numpy as np

from sentio.affect.labels import ACTION_UNITS

SIDE = 112


def draw(folder, *, people=6, pictures=4, seed=0, rig="ict"):
    """Fill ``folder``; every third person is for validation."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        colour = rng.integers(120, 230, 3).tolist()
        for k in range(pictures):
            smile = float(rng.uniform(0.5, 1)) if k % 2 else 0.0
            name = f"person{person:06d}/{k + 1:05d}.jpg"
            path = folder / "affwild2" / "cropped_aligned" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture(colour, smile), [cv2.IMWRITE_JPEG_QUALITY, 95])
            rows.append(row(name, "validation" if person % 3 == 2 else "training", smile, rig))
    (folder / "faces.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return rows


def picture(colour, smile):
    image = np.full((SIDE, SIDE, 3), colour, np.uint8)
    for x in (40, 72):
        cv2.circle(image, (x, 45), 6, (30, 30, 30), -1)
    if smile:
        cv2.ellipse(image, (56, 75), (26, 8 + round(12 * smile)), 0, 0, 180, (255, 255, 255), -1)
    else:
        cv2.line(image, (38, 85), (74, 85), (40, 40, 90), 3)
    return image


def row(name, split, smile, rig):
    units = [int(unit == "AU12" and smile > 0) for unit in ACTION_UNITS]
    return {
        "image": name,
        "split": split,
        "rig": rig,
        "expression": "Happiness" if smile else "Neutral",
        "valence": smile - 0.1,
        "arousal": smile / 2,
        "action_units": units,
        "movements": {"AU12_L": smile, "AU12_R": smile * 0.9} if smile else {},
        "yaw_pitch_roll": [0.2 * smile, -0.1, 0.0],
        "landmarks": [[20.0 + k, 30.0 + k] for k in range(68)],
    }
