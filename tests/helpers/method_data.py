"""Tiny data on disk for every kind of training data, made in seconds."""

import json

import cv2
import numpy as np
import soundfile
import trimesh
from scipy.signal import sawtooth

import drawn_faces
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.synth.rig import template
from sentio.points.shapes import procedural

RECOGNISED = (0.9, 1.0, 0.8)
"""Shares of the listeners who heard the emotion, in turns."""


def drawn(folder):
    """Four drawn videos in the layout of Aff-Wild2."""
    generate(folder, MovingPicture(videos=4, seconds=2, seed=3))


def renders(folder):
    """As ``sentio synth`` fills a folder, of cartoons."""
    drawn_faces.draw(folder)


def spoken(folder, *, speakers=("03", "08"), letters="WTN"):
    """As EMO-DB: speakers with an utterance of each emotion, buzzes of different pitch and rhythm."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["Nr.\tSatz\terkannt\tnatuerlich"]
    for number, speaker in enumerate(speakers):
        base = 110 + 100 * number
        for k, letter in enumerate(letters):
            share = RECOGNISED[k % len(RECOGNISED)]
            time = np.arange(int(16_000 * (1.2 + k % 3))) / 16_000
            sound = (
                0.3 * sawtooth(2 * np.pi * base * (1 + 0.3 * k) * time) * (np.sin(2 * np.pi * (1 + k) * time) > -0.5)
            )
            sound[:3_200] = 0
            soundfile.write(folder / f"{speaker}a01{letter}a.wav", sound, 16_000)
            rows.append(f"{k}\xa0\t{speaker}a01{letter}a.wav\t{100 * share:.2f}\xa0\t60,00".replace(".00", ",00"))
    (folder / "erkennung.txt").write_text("\n".join(rows), encoding="latin-1")


def heads(folder):
    """Cut-out heads, a green disc each, and grey pictures without faces."""
    (folder / "heads").mkdir(parents=True)
    (folder / "pictures").mkdir()
    landmarks = template() * [1, -1]
    landmarks = (landmarks - landmarks.mean(0)) / np.ptp(landmarks, axis=0) * [70, 80] + 96
    head = np.zeros((192, 192, 4), np.uint8)
    cv2.circle(head, (96, 96), 70, (0, 160, 0, 255), -1)
    rows = []
    for person in range(12):
        name = f"{person:05d}_00.png"
        cv2.imwrite(str(folder / "heads" / name), head)
        rows.append({"image": name, "face": True, "yaw_pitch_roll": [0, 0, 0], "landmarks": landmarks.tolist()})
        cv2.imwrite(str(folder / "pictures" / f"{person:02d}.jpg"), np.full((300, 400, 3), 20 * person, np.uint8))
    (folder / "heads.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def meshes(folder):
    """Two shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in (1, 2):
        shape = procedural(index)
        trimesh.Trimesh(shape.vertices * 9 + 4, shape.faces, process=False).export(folder / f"{index}.off")
