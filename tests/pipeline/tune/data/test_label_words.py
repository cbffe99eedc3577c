"""Laws of labels."""

import pytest

from mole.errors import SettingsError
from pipeline.tune.data.label_words import (
    FAKE,
    FOLDERS,
    REAL,
    VALUES,
    check_both,
    extend_words,
    parse_label,
    parse_mapping,
)


@pytest.mark.parametrize("value", ["real", "REAL", " 0 ", 0, 0.0, False, "nature", "0_real"])
def test_all_words_for_real_are_read(value: object) -> None:
    assert parse_label(value, VALUES) == REAL


@pytest.mark.parametrize("value", ["fake", "Fake\n", "1", 1, 1.0, True, "ai", "1_fake"])
def test_all_words_for_generated_are_read(value: object) -> None:
    assert parse_label(value, VALUES) == FAKE


@pytest.mark.parametrize("value", ["maybe", 2, 0.5, None, "", b"real"])
def test_other_values_are_no_label(value: object) -> None:
    assert parse_label(value, VALUES) is None


def test_a_folder_named_by_a_number_is_no_label() -> None:
    assert parse_label("0", FOLDERS) is None


def test_a_user_adds_words() -> None:
    assert (
        extend_words(parse_mapping(["Human=real", "machine=fake"]), FOLDERS).items()
        >= {"human": 0, "machine": 1, "ai": 1}.items()
    )


@pytest.mark.parametrize("pair", ["human", "human=", "=real"])
def test_a_pair_that_is_none_is_refused(pair: str) -> None:
    with pytest.raises(SettingsError, match=f"got '{pair}'"):
        parse_mapping([pair])


def test_a_word_that_means_neither_is_refused() -> None:
    with pytest.raises(SettingsError, match="'cat' must mean real or fake, got 'animal'"):
        extend_words({"cat": "animal"}, VALUES)


def test_one_class_alone_is_refused_and_the_missing_one_named() -> None:
    with pytest.raises(SettingsError, match="got 2 real and 0 fake images: here"):
        check_both([0, 0], "here")


def test_no_image_at_all_is_refused() -> None:
    with pytest.raises(SettingsError, match="no labelled image was found: a folder of notes"):
        check_both([], "a folder of notes")


def test_both_classes_pass() -> None:
    check_both([0, 1], "")
