"""Random views of faces, as BYEL draws them: colour, grey, mirror, blur, crop (kornia).

All draws come from torch's generator, so that a seed repeats them.
"""

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from sentio.core.errors import require

Draws = Literal["sample", "batch"]
"""One draw for every picture, or one for all pictures of a batch."""

JITTER = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "p": 0.3}
GREY_P = 0.2
MIRROR_P = 0.5
BLUR = {"kernel_size": (3, 3), "sigma": (1.0, 2.0), "p": 0.2}
CROP_RATIO = (3 / 4, 4 / 3)
SMALLEST = 0.08


class RandomView(nn.Module):
    """(N, 3, H, W) RGB in [0, 1] -> (N, 3, size, size) in [0, 1], without gradients.

    The order of the four colour changes is drawn once a call with either kind of ``draws``. At least ``smallest`` of
    the picture's area is kept.
    """

    def __init__(self, size: int, draws: Draws = "sample", smallest: float = SMALLEST) -> None:
        super().__init__()
        kornia = require("kornia.augmentation", "train")
        shared: dict[str, Any] = {"same_on_batch": draws == "batch"}
        crop: dict[str, Any] = {"scale": (smallest, 1.0), "ratio": CROP_RATIO, **shared}
        self.steps = nn.Sequential(
            kornia.ColorJitter(**JITTER, **shared),
            kornia.RandomGrayscale(p=GREY_P, **shared),
            kornia.RandomHorizontalFlip(p=MIRROR_P, **shared),
            kornia.RandomGaussianBlur(**BLUR, **shared),
            kornia.RandomResizedCrop((size, size), align_corners=False, **crop),
        )

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, enabled=False):  # the blur would give 16-bit pictures
            views = cast(Tensor, self.steps(pictures))
        return views.contiguous(memory_format=torch.channels_last)  # in which convolutions on CPUs are a third quicker
