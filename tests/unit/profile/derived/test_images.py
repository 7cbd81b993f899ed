from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from monitor.profile.derived.images import derive_images, format_of, size_of

FORMATS = {"png": "PNG", "jpeg": "JPEG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP"}
OF_TFDV = ("bmp", "gif", "jpeg", "png")


def _image(name: str, width: int = 17, height: int = 5, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, FORMATS[name], **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(17, 5), (1, 300), (1_000, 2)], ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_format_and_size_of_an_image(name: str, size: tuple[int, int]) -> None:
    content = _image(name, *size)
    assert format_of(content) == name
    assert size_of(content) == size


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jpeg", {"progressive": True}),
        ("jpeg", {"exif": b"Exif\0\0" + b"x" * 30_000}),
        ("webp", {"lossless": True}),
        ("webp", {"icc_profile": b"z" * 100}),
        ("png", {"icc_profile": b"z" * 100}),
    ],
    ids=["progressive", "long segments first", "lossless", "extended", "with a profile"],
)
def test_variants_of_formats(name: str, options: dict[str, Any]) -> None:
    assert size_of(_image(name, **options)) == (17, 5)


def test_a_bitmap_from_top_to_bottom_has_a_negative_height() -> None:
    content = bytearray(_image("bmp"))
    content[22:26] = (-5).to_bytes(4, "little", signed=True)
    assert size_of(bytes(content)) == (17, 5)


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_that_is_cut_off_anywhere_has_no_size_or_the_right_one(name: str) -> None:
    content = _image(name)
    assert {size_of(content[:length]) for length in range(len(content))} <= {None, (17, 5)}


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xda\x00\x00", b"\xff\xd8\xff\xe0\x00\x00" * 9, b"RIFF....WEBPVP9 "]
)
def test_broken_images_have_no_size(content: bytes) -> None:
    assert size_of(content) is None


def test_columns_of_images() -> None:
    png = _image("png")
    assert {name: column.to_pylist() for name, column in derive_images(pa.array([png, b"text", None])).items()} == {
        "format": ["png", "other", None],
        "width": [17, None, None],
        "height": [5, None, None],
        "bytes": [len(png), 4, None],
    }


def test_facts_equal_those_of_tfdvs_image_statistics() -> None:
    """TFDV tells formats and, by decoding with TensorFlow, the largest width and height."""
    from tensorflow_data_validation.statistics.generators.image_stats_generator import ImageStatsGenerator
    from tensorflow_data_validation.types import FeaturePath

    contents = [_image(name, width, 40 - width) for name in OF_TFDV for width in (3, 20, 31)] + [b"none"]
    generator = ImageStatsGenerator(values_threshold=1, enable_size_stats=True)
    column = pa.array([[content] for content in contents])
    statistics = generator.extract_output(
        generator.add_input(generator.create_accumulator(), FeaturePath(["photo"]), column)
    )
    theirs = {stats.name: stats for stats in statistics.custom_stats}
    derived = {name: values.to_pylist() for name, values in derive_images(pa.array(contents)).items()}
    buckets = theirs["image_format_histogram"].rank_histogram.buckets
    assert {bucket.label: bucket.sample_count for bucket in buckets} == {
        ("UNKNOWN" if name == "other" else name): derived["format"].count(name) for name in (*OF_TFDV, "other")
    }
    assert theirs["image_max_width"].num == max(width for width in derived["width"] if width is not None)
    assert theirs["image_max_height"].num == max(height for height in derived["height"] if height is not None)
