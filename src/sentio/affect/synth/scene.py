"""Where a person is seen: lights, what is behind and before, and what the camera and the file do to the picture."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.synth.appearance import SURFACES, Person
from sentio.affect.synth.render import Camera, Lights, Mesh, render
from sentio.affect.synth.rig import Floats

Image = NDArray[np.uint8]
FINER = 2
"""Pixels are rendered in blocks of FINER x FINER and averaged."""


@dataclass(frozen=True)
class Scene:
    """What does not depend on the person.

    Attributes:
        lights: see render.
        exposure: brightness of skin in the picture, 0 to 1, as automatic exposure aims at.
        darkening: how much less the darkest skin gets, 0 (the camera measures the face) to 1 (it measures the room).
        backdrop: (256, 256, 3) sRGB.
        blur: standard deviation in pixels of a picture 112 wide.
        grain: standard deviation of noise in grey levels.
        contrast, warmth: about 1 and about 0.
        quality: of JPEG, 1 to 100.
    """

    lights: Lights
    exposure: float
    darkening: float
    backdrop: Image
    blur: float
    grain: float
    contrast: float
    warmth: float
    quality: int


def draw(rng: np.random.Generator) -> Scene:
    """A scene at random."""
    return Scene(
        lights=_lights(rng),
        exposure=float(np.clip(rng.normal(0.58, 0.09), 0.32, 0.8)),
        darkening=float(rng.uniform(0, 0.45)),
        backdrop=backdrop(rng),
        blur=float(rng.choice([0, 0.5, 0.9, 1.5], p=[0.5, 0.3, 0.15, 0.05]) * rng.uniform(0.6, 1.3)),
        grain=float(rng.gamma(1.2, 1.4)),
        contrast=float(rng.normal(1, 0.12)),
        warmth=float(rng.normal(0, 0.05)),
        quality=int(rng.integers(35, 96)),
    )


def _lights(rng: np.random.Generator) -> Lights:
    """Key, fill and rim: from in front, from a side, from above, a window, a dim room."""
    kind = rng.choice(5, p=[0.26, 0.2, 0.33, 0.12, 0.09])
    yaw = rng.normal(0, (0.3, 0.9, 0.3, 1.2, 0.5)[kind])
    pitch = rng.normal((0.35, 0.4, 1.0, 0.15, 0.3)[kind], 0.2)
    key = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    fill = np.array([-np.sign(yaw) * rng.uniform(0.3, 1), rng.uniform(-0.2, 0.5), 0.8])
    rim = np.array([rng.choice([-1, 1]) * rng.uniform(0.5, 1), 0.4, rng.uniform(-0.8, -0.1)])
    directions = np.stack([key, fill, rim])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    warm = rng.normal(0, 0.1, 3)[:, None] * np.array([1, 0, -1]) + 1
    strength = np.array([(0.7, 0.9, 0.8, 1.1, 0.45)[kind], rng.uniform(0.05, 0.35), rng.choice([0, 0.3, 0.7])])
    ambient = rng.uniform(0.18, 0.5) * (1 + rng.normal(0, 0.06, 3))
    ground = ambient * rng.uniform(0.35, 0.9) * np.array([1.05, 1.0, 0.92])
    f32 = np.float32
    return Lights(
        directions.astype(f32), (strength[:, None] * warm).astype(f32), ambient.astype(f32), ground.astype(f32)
    )


def backdrop(rng: np.random.Generator, size: int = 256) -> Image:
    """A room, a street, a wall, out of focus: gradients, uneven blocks and discs, blurred."""
    base, other = rng.uniform(20, 230, 3), rng.uniform(20, 230, 3)
    grey = rng.beta(3, 1)
    base, other = (c * (1 - grey) + c.mean() * grey for c in (base, other))
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    picture: Floats = np.ascontiguousarray(
        np.broadcast_to(base * (1 - ramp) + other * ramp, (size, size, 3)), np.float32
    )
    for _ in range(rng.integers(0, 22)):
        colour = tuple(
            float(c)
            for c in np.clip(
                (base if rng.random() < 0.5 else other) * rng.uniform(0.2, 1.8) + rng.normal(0, 20, 3), 0, 255
            )
        )
        x, y = (int(v) for v in rng.integers(-20, size, 2))
        wide, high = (int(v) for v in rng.gamma(2, size / 12, 2) + 3)
        if rng.random() < 0.6:
            cv2.rectangle(picture, (x, y), (x + wide, y + high * 2), colour, -1)
        else:
            cv2.ellipse(picture, (x, y), (wide, high), float(rng.uniform(0, 180)), 0, 360, colour, -1)
    picture = _blurred(picture, float(rng.choice([0.6, 2, 5, 12], p=[0.15, 0.2, 0.35, 0.3])))
    cells = int(rng.integers(4, 40))
    rough = cv2.resize(rng.standard_normal((cells, cells)), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture * (1 + 0.025 * rough[..., None]), 0, 255).astype(np.uint8)


def photograph(
    person: Person,
    mesh: Mesh,
    scene: Scene,
    camera: Camera,
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
) -> Image:
    """A picture of a person as a camera gives it, before compression, RGB uint8 (height, width, 3).

    Args:
        camera: for a picture of this size.
        scale: of blur, 1 for a face of 112 pixels.
    """
    colour, cover = cut_out(person, mesh, scene, camera, size)
    behind = _resized(scene.backdrop.astype(np.float32), size[1], size[0])
    return finish(colour * cover[..., None] + behind * (1 - cover[..., None]), scene, rng, scale)


def cut_out(person: Person, mesh: Mesh, scene: Scene, camera: Camera, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """A person alone, well exposed: sRGB (height, width, 3) from 0 to 255, and how much of each pixel it covers."""
    height, width = size
    fine = camera.matrix * FINER
    fine[:, 2] += (FINER - 1) / 2
    light, cover = render(mesh, person.textures, SURFACES, scene.lights, Camera(camera.distance, fine),
                          (height * FINER, width * FINER))  # fmt: skip
    light, cover = _resized(light, width, height), _resized(cover, width, height)
    skin = light[cover > 0.99]
    level = float(np.percentile(skin.mean(1), 70)) if len(skin) else 0.3
    tone = 1 - scene.darkening * person.look.tone
    light *= (scene.exposure * tone) ** 2.2 * 1.45 / max(level, 1e-3)
    whole = np.maximum(cover, 1e-3)[..., None] ** (1 / 2.2)  # pixels at the edge were averaged with black
    return np.where(cover[..., None] > 1e-3, 255 * _curve(light) / whole, 0), cover


def _curve(light: Floats) -> Floats:
    """Linear light to sRGB with a shoulder, as cameras have, instead of clipping."""
    bent = np.where(light < 0.6, light, 1 - 0.4 * np.exp(-(light - 0.6) / 0.4))
    return np.asarray(np.clip(bent, 0, 1) ** (1 / 2.2), np.float32)


def finish(picture: Floats, scene: Scene, rng: np.random.Generator, scale: float = 1.0) -> Image:
    """Blur, colour and grain."""
    if scene.blur * scale > 0.25:
        picture = _blurred(picture, scene.blur * scale)
    picture = ((picture - 110) * scene.contrast + 110) * np.array([1 + scene.warmth, 1, 1 - scene.warmth])
    if scene.grain > 0.3:
        picture = picture + _blurred(rng.standard_normal(picture.shape), 0.6) * scene.grain * 1.7
    return np.clip(picture, 0, 255).astype(np.uint8)


def _blurred(picture: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma), np.float32)


def _resized(picture: Floats, width: int, height: int) -> Floats:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def occlude(picture: Image, rng: np.random.Generator) -> Image:
    """Something in front of the face: fingers, a cup, a bar, at an edge or over a part."""
    height, width = picture.shape[:2]
    cover: Floats = np.zeros((height, width), np.float32)
    kind = rng.choice(3)
    x, y = rng.uniform(0, width), rng.uniform(0.2, 1.1) * height
    if kind == 0:
        for k in range(rng.integers(2, 5)):
            start = np.array([x + k * width * 0.075, y])
            end = start + np.array([rng.normal(0, 0.1), -rng.uniform(0.2, 0.45)]) * width
            cv2.line(cover, tuple(map(int, start)), tuple(map(int, end)), 1.0, int(width * 0.07), cv2.LINE_AA)
        colour = np.array([215, 165, 135]) * rng.uniform(0.35, 1.05)
    elif kind == 1:
        axes = (int(width * rng.uniform(0.08, 0.22)), int(height * rng.uniform(0.1, 0.3)))
        cv2.ellipse(cover, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
        colour = rng.uniform(10, 240, 3)
    else:
        box = cv2.boxPoints(
            ((x, y), (width * rng.uniform(0.1, 0.4), height * rng.uniform(0.1, 0.5)), float(rng.uniform(0, 180)))
        )
        cv2.fillPoly(cover, [box.astype(np.int32)], 1.0, cv2.LINE_AA)
        colour = rng.uniform(10, 240, 3)
    shade = _blurred(cover, width * 0.03) * 0.5 + 0.5
    cover = _blurred(cover, 0.8)[..., None]
    return np.clip(picture * (1 - cover) + colour * shade[..., None] * cover, 0, 255).astype(np.uint8)


def compress(picture: Image, quality: int) -> bytes:
    """JPEG bytes of an RGB picture."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return bytes(data)
