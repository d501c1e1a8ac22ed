"""Writes reference.npz: what the reference library makes of pictures that the tests draw too.

Made with transformers 5.24.0 (its Pillow and NumPy processors), Pillow 13.0.0 and NumPy 2.4.6 on
Python 3.11; no torch. For each configuration in this folder and each picture:

    CONFIG/PICTURE/WxH/pixels  SHA-256 of the 8 bit pixels after scaling and cutting, [3, h, w]
    CONFIG/PICTURE/WxH/grid    every so many of those pixels, [3, about 8, about 8]
    CONFIG/PICTURE/WxH/values  the final f32 numbers at the same places

and for each filter of Pillow:

    filterN/PICTURE/WxH/IxJ/{pixels,grid}  the picture scaled to I x J

Run it in this folder: python3 make.py
"""

import hashlib
import io
import json
import pathlib
import zipfile

import numpy as np
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

HERE = pathlib.Path(__file__).parent
CLASSES = {
    "CLIPImageProcessor": CLIPImageProcessorPil,
    "CLIPFeatureExtractor": CLIPImageProcessorPil,
    "ConvNextFeatureExtractor": ConvNextImageProcessorPil,
    "ViTFeatureExtractor": ViTImageProcessorPil,
    "ViTImageProcessor": ViTImageProcessorPil,
}


def draw(kind, width, height):
    """Whole numbers only, so that every language draws the same."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    if kind == "gradient":
        across, down = x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1)
        return np.where(c == 0, across, np.where(c == 1, down, (x + y) * 3 % 256)).astype(np.uint8)
    if kind == "noise":
        v = (x * 73856093) ^ (y * 19349663) ^ (c * 83492791)
        v = v & 0xFFFFFFFF
        v = v ^ (v >> 13)
        v = (v * 0x5BD1E995) & 0xFFFFFFFF
        return ((v ^ (v >> 15)) & 255).astype(np.uint8)
    if kind == "shapes":
        side = min(width, height)
        circle = (2 * x - width) ** 2 + (2 * y - height) ** 2 < side * side // 2
        stripes = (x // 3 + y // 5) % 2 == 0
        colour = np.where(c == 0, 230, np.where(c == 1, 40, 60))
        ground = np.where(stripes, 20 + 90 * c, 250 - 60 * c)
        return np.where(circle, colour, ground).astype(np.uint8)
    raise ValueError(kind)


def grid(pixels):
    """Of [3, h, w] every so many rows and columns, about 8 of each."""
    _, height, width = pixels.shape
    return np.ascontiguousarray(pixels[:, :: max(height // 8, 1), :: max(width // 8, 1)])


def digest(pixels):
    return np.frombuffer(hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest(), np.uint8)


PICTURES = [
    ("shapes", 320, 240),
    ("noise", 240, 320),
    ("gradient", 225, 224),
    ("noise", 224, 224),
    ("noise", 97, 61),
    ("gradient", 10, 7),
    ("noise", 3, 5),
    ("shapes", 500, 37),
    ("noise", 1, 1),
]
SCALED = [
    ("noise", 61, 43, 20, 30),
    ("noise", 17, 23, 50, 40),
    ("shapes", 100, 80, 99, 81),
    ("noise", 40, 9, 40, 3),
    ("noise", 9, 40, 30, 40),
    ("gradient", 300, 2, 7, 7),
    ("noise", 5, 5, 1, 1),
    ("noise", 50, 20, 60, 10),
    ("shapes", 40, 100, 60, 50),
    ("noise", 40, 40, 38, 36),
    ("noise", 40, 40, 38, 35),
]

arrays = {}
for path in sorted(HERE.glob("*.json")):
    config = json.loads(path.read_text())
    name = config.get("image_processor_type") or config["feature_extractor_type"]
    processor = CLASSES[name](**config)
    for kind, width, height in PICTURES:
        picture = Image.fromarray(draw(kind, width, height))
        pixels = processor(
            picture, do_rescale=False, do_normalize=False, return_tensors="np"
        ).pixel_values[0]
        assert pixels.dtype == np.uint8, pixels.dtype
        values = processor(picture, return_tensors="np").pixel_values[0]
        assert values.dtype == np.float32, values.dtype
        key = f"{path.stem}/{kind}/{width}x{height}"
        arrays[f"{key}/pixels"] = digest(pixels)
        arrays[f"{key}/grid"] = grid(pixels)
        arrays[f"{key}/values"] = grid(values)
for code in range(6):
    for kind, width, height, to_width, to_height in SCALED:
        picture = Image.fromarray(draw(kind, width, height))
        scaled = np.asarray(picture.resize((to_width, to_height), resample=code))
        pixels = np.moveaxis(scaled, -1, 0)
        key = f"filter{code}/{kind}/{width}x{height}/{to_width}x{to_height}"
        arrays[f"{key}/pixels"] = digest(pixels)
        arrays[f"{key}/grid"] = grid(pixels)

# With fixed times in the archive, equal content gives equal bytes.
with zipfile.ZipFile(HERE / "reference.npz", "w", zipfile.ZIP_DEFLATED) as archive:
    for key, array in arrays.items():
        out = io.BytesIO()
        np.lib.format.write_array(out, array)
        archive.writestr(zipfile.ZipInfo(f"{key}.npy"), out.getvalue(), zipfile.ZIP_DEFLATED)
