"""Pictures for the surfaces of a head: skin painted from nothing or begun from a CC0 picture, eyes, teeth, lashes.

All skins share the coordinates of rig.face_uv with landmarks in fixed places, so that one painter serves every rig.
Painting is done in centimetres of the unrolled face: x from the nose to the person's left, y up from the eyes.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.synth import rigs
from sentio.affect.synth.kernels import rasterize
from sentio.affect.synth.rig import SKIN, UV_ANGLE, UV_BOTTOM, UV_TOP, Floats, template
from sentio.core.errors import InputError

Bytes = NDArray[np.uint8]

SIZE = 512
RADIUS = 9.0  # cm, of the cylinder on which the face is unrolled
WIDTH, HEIGHT = 2 * UV_ANGLE * RADIUS, UV_TOP - UV_BOTTOM
# sRGB of ten skins from light to dark, and how they are called nowhere: a person's own lies between two of them.
_TONES = np.array([(246, 220, 203), (240, 203, 180), (232, 187, 158), (219, 168, 136), (201, 148, 113),
                   (181, 125, 90), (152, 100, 70), (122, 78, 54), (92, 59, 43), (66, 43, 34)], np.float32)  # fmt: skip
_HAIRS = np.array([(20, 17, 16), (38, 28, 23), (61, 42, 30), (92, 64, 42), (139, 98, 60), (190, 150, 98),
                   (120, 58, 30), (150, 148, 145)], np.float32)  # fmt: skip
_IRISES = np.array(
    [(62, 38, 22), (88, 56, 30), (112, 84, 44), (96, 106, 70), (86, 112, 136), (110, 124, 134)], np.float32
)


@dataclass(frozen=True)
class Look:
    """Colours and marks of a person; amounts run from 0 to 1."""

    tone: float
    hair: Floats
    grey: float
    male: bool
    age: float
    beard: float
    moustache: float
    brows: float
    makeup: float
    freckles: float
    hairline: float
    picture: int = -1
    seed: int = 0


def draw(rng: np.random.Generator, pictures: int) -> Look:
    """A person at random; half of them begin from one of ``pictures`` photographic skins, if there are any."""
    tone = float(rng.uniform(0, 1))
    male, age = bool(rng.random() < 0.5), float(rng.beta(1.5, 1.3))
    dark = tone > 0.55
    index = rng.choice(3 if dark else len(_HAIRS))
    grey = float(np.clip((age - 0.5) * 2 * rng.random() * 1.5, 0, 0.9))
    return Look(
        tone=tone,
        hair=_HAIRS[index] * (1 - grey) + np.array([165, 163, 160], np.float32) * grey,
        grey=grey,
        male=male,
        age=age,
        beard=float(rng.choice([0, 0.15, 0.4, 0.9], p=[0.4, 0.25, 0.2, 0.15])) if male else 0.0,
        moustache=float(rng.choice([0, 0.5, 0.95], p=[0.75, 0.1, 0.15])) if male else 0.0,
        brows=float(rng.uniform(0.35, 1)),
        makeup=0.0 if male else float(rng.choice([0, 0.4, 1], p=[0.5, 0.3, 0.2])),
        freckles=float(rng.random() < 0.15) * float(rng.random()) * (1 - tone),
        hairline=float(rng.normal(6.4, 0.5) + 1.2 * male * age),
        picture=int(rng.integers(pictures)) if pictures and rng.random() < 0.5 else -1,
        seed=int(rng.integers(2**31)),
    )


def noise(rng: np.random.Generator, octaves: tuple[int, ...], size: int = SIZE) -> Floats:
    """(size, size) smooth random field, about standard normal; ``octaves`` are cells across, equally strong."""
    total = np.zeros((size, size), np.float32)
    for cells in octaves:
        grid = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(total / max(total.std(), 1e-6), np.float32)


@cache
def grid() -> tuple[Floats, Floats]:
    """x and y in centimetres of every texel."""
    steps = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    return np.asarray(np.meshgrid((steps - 0.5) * WIDTH, UV_TOP - steps * HEIGHT), np.float32)[:2]  # type: ignore[return-value]


@cache
def places() -> Floats:
    """(68, 2) landmarks in centimetres."""
    uv = template()
    return np.stack([(uv[:, 0] - 0.5) * WIDTH, uv[:, 1] * HEIGHT + UV_BOTTOM], axis=1)


def texels(points: Floats) -> Floats:
    """Centimetres -> texture coordinates for drawing, (N, 2)."""
    return np.stack([(points[:, 0] / WIDTH + 0.5) * SIZE, (UV_TOP - points[:, 1]) / HEIGHT * SIZE], axis=1)


def blob(x: float, y: float, wide: float, high: float) -> Floats:
    """(SIZE, SIZE) Gaussian spot."""
    gx, gy = grid()
    return np.asarray(np.exp(-(((gx - x) / wide) ** 2) - ((gy - y) / high) ** 2), np.float32)


def both(x: float, y: float, wide: float, high: float) -> Floats:
    """A spot on either side of the face."""
    return np.asarray(blob(x, y, wide, high) + blob(-x, y, wide, high))


def polygon(points: Floats, soft: float) -> Floats:
    """(SIZE, SIZE) 1 inside a closed curve through ``points``; ``soft`` texels of blur."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(mask, [np.round(texels(_smooth(points)) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.float32)


def _smooth(points: Floats) -> Floats:
    """A closed polygon, corners cut twice (Chaikin), so that it is round."""
    for _ in range(2):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
    return points


def paint(look: Look, pictures: tuple[Floats, ...] = ()) -> Bytes:
    """(SIZE, SIZE, 4) skin of a person's whole head, sRGB."""
    rng = np.random.default_rng(look.seed)
    tone = _tone(look, rng)
    if look.picture >= 0:
        skin = _recolour(pictures[look.picture], tone, rng)
    else:
        skin = _complexion(look, tone, rng)
        skin = _lips(skin, look, tone, rng)
    skin = _blend(
        skin,
        both(3.1, 0.65, 1.5, 0.7),
        tone * [0.75, 0.62, 0.6],
        0.25 * rng.random() + 0.6 * look.makeup * rng.random(),
    )
    skin = _shadows(skin, look, tone, rng)
    skin = _lids(skin, look, tone)
    skin = _brows(skin, look, rng)
    skin = _stubble(skin, look, rng)
    skin = _moustache(skin, look, rng)
    scalp = scalp_mask(look.hairline) * np.clip(0.75 + 0.15 * noise(rng, (40, 120)), 0, 0.95)
    skin = skin * (1 - scalp[..., None]) + look.hair * 0.8 * scalp[..., None]
    neck = np.clip((grid()[1] - UV_BOTTOM) / 1.5, 0, 1)[..., None]  # the last row is repeated down to the collar
    return _opaque(skin * neck + np.median(skin[-40:], axis=(0, 1)) * (1 - neck))


def _tone(look: Look, rng: np.random.Generator) -> Floats:
    place = look.tone * (len(_TONES) - 1)
    tone = [np.interp(place, np.arange(len(_TONES)), channel) for channel in _TONES.T]
    return np.asarray(np.array(tone) * (1 + rng.normal(0, [0.02, 0.03, 0.045])), np.float32)


def _blend(skin: Floats, mask: Floats, colour: Floats, amount: float) -> Floats:
    share = np.clip(mask * amount, 0, 1)[..., None]
    return np.asarray(skin * (1 - share) + np.asarray(colour, np.float32) * share, np.float32)


def _complexion(look: Look, tone: Floats, rng: np.random.Generator) -> Floats:
    """Bare skin: blotches, pores, redder cheeks and nose, shadows round the eyes, freckles."""
    light = 1 + 0.03 * noise(rng, (6, 14)) + 0.008 * noise(rng, (60, 130)) * (1 + look.age)
    skin = tone * light[..., None]
    skin *= 1 + 0.02 * noise(rng, (9, 25))[..., None] * np.array([-0.3, 1, 1], np.float32)
    red = both(4.3, -3, 2.2, 1.7) + 0.8 * blob(0, -3.4, 1.3, 1) + 0.3 * blob(0, -10, 1.5, 1)
    skin = _blend(skin, red, tone * [1.0, 0.78, 0.76], float(rng.uniform(0.15, 0.5)) + 0.3 * look.makeup)
    skin = _blend(
        skin, both(2.9, -1.0, 1.5, 0.55), tone * [0.78, 0.68, 0.72], float(rng.uniform(0.1, 0.4)) + 0.3 * look.age
    )
    skin = _blend(skin, both(1.55, -0.1, 0.6, 0.6), tone * [0.8, 0.62, 0.58], 0.5)
    spots = np.maximum(noise(rng, (150, 220)) - 1.9, 0) * (both(4, -2.2, 3.2, 2.0) + blob(0, -2, 1.5, 2))
    skin = _blend(skin, spots, tone * [0.72, 0.6, 0.5], look.freckles)
    for _ in range(rng.integers(0, 5)):
        x, y = rng.uniform(-7, 7), rng.uniform(-10, 5)
        skin = _blend(skin, blob(x, y, 0.13, 0.13), tone * [0.45, 0.36, 0.33], float(rng.uniform(0.4, 1)))
    nostrils = both(0.85, -4.55, 0.42, 0.22)
    return _blend(skin, nostrils, tone * 0.2, 0.8)


def _lips(skin: Floats, look: Look, tone: Floats, rng: np.random.Generator) -> Floats:
    points = places()
    natural = tone * np.array([0.93, 0.66, 0.66], np.float32) * float(rng.uniform(0.85, 1.05))
    painted = np.array([rng.uniform(120, 200), rng.uniform(20, 80), rng.uniform(40, 90)], np.float32)
    colour = natural * (1 - 0.75 * look.makeup) + painted * 0.75 * look.makeup
    mask = polygon(points[48:60], 1.6)
    lips = colour * (1 + 0.06 * noise(rng, (110,)))[..., None]
    skin = np.asarray(skin * (1 - mask[..., None]) + lips * mask[..., None], np.float32)
    line = np.concatenate([points[[48, 60, 61, 62, 63, 64, 54]], points[[54, 64, 65, 66, 67, 60, 48]]])
    return _blend(skin, polygon(line, 1.2), colour * 0.45, 0.9)


def _shadows(skin: Floats, look: Look, tone: Floats, rng: np.random.Generator) -> Floats:
    """What lies in shade at rest, more with age: deep-set eyes, bags, the folds beside nose and mouth, a furrow."""
    deep, bags, fold, corner, furrow = rng.random(5) ** 2 * (0.35 + 0.65 * look.age)
    shade = tone * [0.62, 0.52, 0.5]
    skin = _blend(skin, both(2.6, 0.9, 1.7, 0.5) + both(1.5, 0.5, 0.6, 0.8), shade, 0.75 * deep)
    skin = _blend(skin, _line([(1.6, -1.0), (2.6, -1.65), (3.9, -1.45), (4.6, -0.9)], 3.5), shade, 0.7 * bags)
    skin = _blend(skin, _line([(1.5, -4.0), (2.3, -5.0), (3.0, -6.2), (3.3, -7.2)], 4.5), shade, 0.8 * fold)
    skin = _blend(skin, _line([(2.5, -7.0), (2.9, -8.0), (2.9, -8.9)], 4.0), shade, 0.7 * corner)
    return _blend(skin, _line([(0.45, 0.8), (0.5, 1.7), (0.65, 2.6)], 3.0), shade, 0.8 * furrow)


def _line(points: list[tuple[float, float]], soft: float) -> Floats:
    """(SIZE, SIZE) a blurred line on both sides of the face, 1 at its darkest."""
    drawn = np.zeros((SIZE, SIZE), np.float32)
    for side in (1, -1):
        curve = texels(np.array(points, np.float32) * np.array([side, 1], np.float32))
        cv2.polylines(drawn, [np.round(curve * 16).astype(np.int32)], False, 1.0, 2, cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(drawn, (0, 0), soft)
    return np.asarray(blurred / max(float(blurred.max()), 1e-6), np.float32)


def _lids(skin: Floats, look: Look, tone: Floats) -> Floats:
    """The dark line of the lashes' roots, heavier above; it makes the slit of a shut eye, too."""
    line = np.zeros((SIZE, SIZE), np.float32)
    for upper, lower in ((places()[36:40], places()[[36, 41, 40, 39]]), (places()[42:46], places()[[42, 47, 46, 45]])):
        for curve, strength in ((upper, 1.0), (lower, 0.45)):
            cv2.polylines(line, [np.round(texels(curve) * 16).astype(np.int32)], False, strength, 2, cv2.LINE_AA, 4)
    return _blend(
        skin, np.asarray(cv2.GaussianBlur(line, (0, 0), 1.5), np.float32), tone * 0.15, 0.7 + 0.5 * look.makeup
    )


def _brows(skin: Floats, look: Look, rng: np.random.Generator) -> Floats:
    """Some 200 hairs on each brow, over a soft shade."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    thick, lift = float(rng.uniform(0.32, 0.62)) * (1.15 if look.male else 0.85), float(rng.normal(-0.35, 0.15))
    for side, curve in ((-1, places()[17:22]), (1, places()[26:21:-1])):
        along = rng.random(210)
        x = np.interp(along, np.linspace(0, 1, 5), curve[:, 0])
        y = np.interp(along, np.linspace(0, 1, 5), curve[:, 1]) + lift
        profile = thick * np.clip(1.15 - 0.9 * np.abs(along - 0.75), 0.2, 1)  # along = 1 at the nose
        root = np.stack([x, y + rng.uniform(-1, 1, 210) * profile * 0.5], 1)
        lean = np.stack([side * (0.3 + 0.45 * (1 - along)), 0.42 * along + 0.02], 1) * rng.uniform(0.6, 1.2, (210, 1))
        for a, b in (
            np.round(texels(np.concatenate([root, root + lean])).reshape(2, -1, 2) * 16).astype(int).transpose(1, 0, 2)
        ):
            cv2.line(mask, tuple(map(int, a)), tuple(map(int, b)), 1.0, 1, cv2.LINE_AA, 4)
    mask = 0.7 * mask + 0.6 * cv2.GaussianBlur(mask, (0, 0), 2.5)
    return _blend(skin, np.asarray(mask, np.float32), look.hair * 0.75, look.brows)


def _stubble(skin: Floats, look: Look, rng: np.random.Generator) -> Floats:
    """A beard from a shade to a full one: jaw, chin, upper lip; not the lips, not the cheeks above."""
    if look.beard == 0:
        return skin
    x, y = grid()
    edge = -4.6 - 2.2 * np.exp(-(((np.abs(x) - 3.5) / 2.2) ** 2)) + 3.2 * np.clip((np.abs(x) - 6.5) / 3, 0, 1)
    mask = 1 / (1 + np.exp(-(edge - y + 0.25 * noise(rng, (30,))) * 3)) * np.clip((11 - np.abs(x)) / 1.5, 0, 1)
    mask = mask * (1 - polygon(places()[48:60] * 1.02, 2)) * np.clip((y + 12.2) / 1.5, 0, 1)
    grain = np.clip(0.75 + 0.45 * noise(rng, (150, 250)), 0, 1.4)
    return _blend(skin, np.asarray(mask * grain, np.float32), look.hair * 0.85, look.beard)


def _moustache(skin: Floats, look: Look, rng: np.random.Generator) -> Floats:
    """Hair between nose and mouth, at times hanging beside it."""
    if look.moustache == 0:
        return skin
    mouth, reach = places()[48:60], float(rng.uniform(2.2, 3.4))
    top, sag = float(places()[33, 1]) - 0.15, float(rng.uniform(0, 0.6))
    low, lip = float(mouth[6, 1]) - sag, float(mouth[2, 1])
    half = [(0, top), (1.3, top - 0.15), (reach, low), (reach - 0.7, low), (1.2, lip)]
    outline = np.array([*half, *[(-x, y) for x, y in reversed(half[1:])]], np.float32)
    grain = np.clip(0.8 + 0.4 * noise(rng, (150, 250)), 0, 1.4)
    return _blend(skin, np.asarray(polygon(outline, 2.5) * grain, np.float32), look.hair * 0.85, look.moustache)


def scalp_mask(hairline: float) -> Floats:
    """(SIZE, SIZE) 1 where hair grows: above a hairline ``hairline`` centimetres over the eyes, and behind the ears."""
    x, y = grid()
    return np.asarray(1 / (1 + np.exp(-(y - hairline_at(x, hairline)) * 3.5)), np.float32)


def hairline_at(x: Floats, hairline: float) -> Floats:
    """Lowest height with hair at ``x`` centimetres along the unrolled face."""
    side = np.clip((np.abs(x) - 5.5) / 3.5, 0, 1)
    temple = hairline - 0.5 * (np.abs(x) / 4) ** 2 + 1.0 * np.exp(-(((np.abs(x) - 4.6) / 1.3) ** 2))
    behind = np.where(np.abs(x) > 12.5, -7.0, -0.5)
    return np.asarray(temple * (1 - side) + behind * side, np.float32)


def _recolour(picture: Floats, tone: Floats, rng: np.random.Generator) -> Floats:
    """A photographic skin moved half of the way to another tone."""
    mean = np.median(picture[200:330, 180:330].reshape(-1, 3), axis=0)
    factor = (tone / np.maximum(mean, 1)) ** rng.uniform(0.5, 1.0)
    return np.asarray(np.clip(picture * factor * (1 + 0.02 * noise(rng, (8, 20)))[..., None], 0, 255), np.float32)


def _opaque(colours: Floats) -> Bytes:
    size = colours.shape[0]
    return np.concatenate([np.clip(colours, 0, 255).astype(np.uint8), np.full((size, size, 1), 255, np.uint8)], axis=2)


@cache
def photographed(folder: Path) -> tuple[Floats, ...]:
    """The skins of an MPFB folder, brought to the shared coordinates, (SIZE, SIZE, 3) each, by name."""
    rig = rigs.load(folder)
    if rig.atlas is None:
        raise InputError(f"The rig in {folder} has no skins.", "Name an MPFB folder.")
    faces = rig.triangles[rig.part == SKIN]
    points = np.column_stack([rig.uv[:, 0] * SIZE - 0.5, (1 - rig.uv[:, 1]) * SIZE - 0.5, -rig.vertices[:, 2]])
    nothing = np.zeros((1, 1, 1, 4), np.uint8), np.zeros(1, np.bool_)
    hit, weights, _ = rasterize(
        points.astype(np.float32), faces, rig.uv, np.zeros(len(faces), np.uint8), *nothing, SIZE, SIZE
    )
    a, b = weights[..., 0:1], weights[..., 1:2]
    corners = rig.atlas[faces[hit]]
    place = a * corners[:, :, 0] + b * corners[:, :, 1] + (1 - a - b) * corners[:, :, 2]
    return tuple(_resample(path, place, hit >= 0) for path in sorted((folder / "skins").glob("*.jpg")))


def _read(path: Path) -> Bytes:
    picture = cv2.imread(str(path))
    if picture is None:
        raise InputError(f"{path} is no readable picture.", "Fetch the rig again.")
    return np.asarray(picture[..., ::-1], np.uint8)


def _resample(path: Path, place: Floats, covered: NDArray[np.bool_]) -> Floats:
    picture = _read(path)
    size = np.array(picture.shape[1::-1], np.float32)
    at = np.stack([place[..., 0], 1 - place[..., 1]], axis=2).astype(np.float32) * size - 0.5
    found = cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    holes = (~covered).astype(np.uint8)
    return np.asarray(cv2.inpaint(found, holes, 5, cv2.INPAINT_TELEA), np.float32)


def eye(rng: np.random.Generator, tone: float) -> Bytes:
    """(SIZE, SIZE, 4) an eyeball in the coordinates of rig.eye_uv: veins, iris, pupil; brown with dark skin."""
    y, x = (np.mgrid[:SIZE, :SIZE].astype(np.float32) - SIZE / 2) / SIZE * 160  # degrees from straight ahead
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    white = np.array([232, 226, 220], np.float32) * rng.uniform(0.74, 0.92)
    veins = np.clip(noise(rng, (25, 60)), 0, 2) * np.clip((radius - 30) / 40, 0, 1)
    picture = white - veins[..., None] * np.array([4, 16, 16], np.float32)
    picture = picture * (1 - 0.35 * np.clip((radius - 45) / 30, 0, 1))[..., None]
    wide = float(rng.uniform(26.5, 30))
    light = tone < 0.4 and rng.random() < 0.55
    colour = _IRISES[rng.integers(2, len(_IRISES)) if light else rng.integers(0, 2)] * rng.uniform(0.6, 0.95)
    rays = sum(np.sin(angle * k + rng.uniform(0, 6.3)) * rng.normal(0, 0.06) for k in range(9, 60, 5))
    iris = colour * (1 + rays + 0.3 * np.clip(1 - radius / wide, 0, 1))[..., None]
    iris *= (1 - 0.55 * np.clip((radius - wide + 4) / 4, 0, 1))[..., None]
    share = 1 / (1 + np.exp((radius - wide) * 0.9))
    picture = picture * (1 - share[..., None]) + iris * share[..., None]
    pupil = 1 / (1 + np.exp(np.clip((radius - rng.uniform(9, 15)) * 1.6, -30, 30)))
    return _opaque(picture * (1 - pupil[..., None]) + 8 * pupil[..., None])


def plain(colour: tuple[float, float, float], rng: np.random.Generator, rough: float = 0.04) -> Bytes:
    """(SIZE, SIZE, 4) one colour, a little uneven."""
    return _opaque(np.array(colour, np.float32) * (1 + rough * noise(rng, (12, 40)))[..., None])


def lashes(rng: np.random.Generator) -> Bytes:
    """(SIZE, SIZE, 4) near black in upright hairs with gaps, for the lid's edge."""
    picture = np.zeros((SIZE, SIZE, 4), np.uint8)
    picture[..., :3] = 18
    picture[..., 3] = np.where(rng.random(SIZE) < 0.25, 255, 0)
    return picture
