"""Extensions: which names are an image's."""

import pytest

from pipeline.images.extension import is_image


@pytest.mark.parametrize("name", ["a.b.JPG", "x.jpeg", "folder/x.WebP", "x.heic", "x.HIF"])
def test_an_images_extension_is_told_whatever_its_case(name: str) -> None:
    assert is_image(name)


@pytest.mark.parametrize("name", ["x.jpg.txt", "jpg/notes", "notes.pdf", "x."])
def test_another_name_is_no_images(name: str) -> None:
    assert not is_image(name)
