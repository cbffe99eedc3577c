"""A model is found where it was named, and brought here whole where it lies in a store."""

from pathlib import Path

import fsspec
import pytest

from mole.config import describe
from mole.errors import ModelError, SettingsError, StorageError
from pipeline import registry
from pipeline.promotion_record import Promotion
from pipeline.registry import MIN_DIGEST_CHARACTERS, Registry
from pipeline.storage import storage
from tests.tiny import tiny_checkpoint


def test_the_embedded_model_keeps_its_digest_whatever_settings_are_added(root: Path) -> None:
    assert describe(root / "mole" / "embedded").digest == "39ade96aa40b5799788ae1eea944701d"  # new weights, new digest


def test_the_embedded_model_lies_in_the_package(root: Path) -> None:
    assert registry.locate("embedded") == root / "mole" / "embedded"


def test_a_folder_is_found_and_one_without_a_checkpoint_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    assert registry.locate(str(folder)) == folder
    with pytest.raises(ModelError, match=r"has neither config.json"):
        registry.locate(str(tmp_path))


def test_a_model_in_a_store_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tiny_checkpoint(tmp_path / "tiny")
    fsspec.filesystem("memory").put(str(folder), "/models/tiny", recursive=True)
    copied = registry.locate("memory://models/tiny")
    assert describe(copied).digest == describe(folder).digest
    assert (copied / "tower.safetensors").read_bytes() == (folder / "tower.safetensors").read_bytes()
    for place in ("memory://models/none", str(tmp_path / "none")):
        with pytest.raises(SettingsError, match=f"the model '{place}' is not there"):
            registry.locate(place)


@pytest.mark.parametrize("name", ["../../escaped", "sub/../../escaped", "..", "./escaped"])
def test_a_model_in_a_store_is_not_copied_out_of_its_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache" / "deep"))
    store, place = fsspec.filesystem("memory"), f"/{tmp_path.name}/evil"
    store.put(str(tiny_checkpoint(tmp_path / "tiny")), place, recursive=True)
    store.store[f"{place}/{name}"] = store.store[f"{place}/config.json"]
    with pytest.raises(ModelError, match="would lie outside its folder"):
        registry.locate(f"memory:/{place}")
    assert not list(tmp_path.rglob("escaped*"))


@pytest.fixture(params=["local", "memory"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Registry, str, str]:
    """A registry with two versions, in a folder and in a store, and their digests."""
    place = Registry(str(tmp_path / "models") if request.param == "local" else f"memory://{tmp_path.name}/models")
    first, second = (place.add(tiny_checkpoint(tmp_path / str(seed), seed=seed), {"note": b"x"}) for seed in (1, 2))
    return place, first, second


def test_a_version_is_whole_before_it_can_be_found(filled: tuple[Registry, str, str], tmp_path: Path) -> None:
    place, first, second = filled
    assert place.digests() == sorted((first, second))
    assert place.read(first, "note") == b"x"
    storage.remove(storage.join(place.version(first), "config.json"))
    with pytest.raises(ModelError, match="is not a version"):
        place.promote(first, "half a version", replacing=None)
    assert place.add(tiny_checkpoint(tmp_path / "1", seed=1), {}) == first
    assert place.promote(first, "whole", replacing=None).digest == first


def test_a_version_is_called_by_its_first_characters_where_no_other_begins_so(
    filled: tuple[Registry, str, str], tmp_path: Path
) -> None:
    place, first, second = filled
    for words in (first, first[:MIN_DIGEST_CHARACTERS], first[:20]):
        assert place.find(words) == place.require(words, "--candidate") == first
        assert registry.resolve(words, place.url) == place.version(first)
    assert place.find(first[: MIN_DIGEST_CHARACTERS - 1]) is None and place.find("") is None
    twin = first[:MIN_DIGEST_CHARACTERS] + ("0" if first[MIN_DIGEST_CHARACTERS] != "0" else "1")
    storage.write(storage.join(place.version(twin), "config.json"), b"{}")
    with pytest.raises(SettingsError, match=f"matches 2 versions of .*give more of the digest: .*{twin}"):
        place.find(first[:MIN_DIGEST_CHARACTERS])
    assert place.find(twin) == twin and place.find(second[:MIN_DIGEST_CHARACTERS]) == second


def test_a_digest_that_is_none_is_refused_with_those_there_are(
    filled: tuple[Registry, str, str], tmp_path: Path
) -> None:
    place, first, second = filled
    told = f"it has {', '.join(sorted((first, second)))}"
    with pytest.raises(SettingsError, match=f"--candidate 'ffff' is no version of .*; {told}"):
        place.require("ffff", "--candidate")
    with pytest.raises(SettingsError, match=f"'none' is neither a version of .* nor a folder; {told}"):
        registry.resolve("none", place.url)
    assert registry.resolve("embedded", place.url) == "embedded"
    assert registry.resolve(str(tmp_path / "1"), place.url) == str(tmp_path / "1"), "a folder is a model as well"
    with pytest.raises(SettingsError, match="the registry 'memory:///empty' is not there"):
        Registry("memory://empty").require("ffff", "--candidate")


def test_a_version_never_changes(filled: tuple[Registry, str, str], tmp_path: Path) -> None:
    place, first, _ = filled
    assert place.add(tmp_path / "1", {"note": b"other"}) == first
    assert place.read(first, "note") == b"x"


def test_a_scan_of_the_registry_takes_what_is_promoted(
    filled: tuple[Registry, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place, first, second = filled
    with pytest.raises(ModelError):
        registry.locate(place.url)
    assert place.promoted() is None
    place.promote(first, "first", replacing=None)
    assert describe(registry.locate(place.url)).digest == first
    place.promote(second, "better", replacing=first)
    assert describe(registry.locate(place.url)).digest == second
    assert describe(registry.locate(place.url, first)).digest == first


def test_a_rollback_is_one_more_entry_and_the_log_keeps_both(filled: tuple[Registry, str, str]) -> None:
    place, first, second = filled
    with pytest.raises(SettingsError, match="nothing was promoted"):
        place.before()
    place.promote(first, "first", replacing=None)
    assert place.before() is None  # a base, which this log does not name
    place.promote(second, "better", replacing=first)
    assert place.before() == first
    assert place.roll_back(first).digest == first == place.promoted()
    assert [entry.digest for entry in place.log()] == [first, second, first]


def test_rollbacks_lead_back_one_at_a_time_and_at_last_to_the_base_and_never_forth_again(
    filled: tuple[Registry, str, str], tmp_path: Path
) -> None:
    place, first, second = filled
    base = place.add(tiny_checkpoint(tmp_path / "3", seed=3), {})
    place.promote(first, "first", replacing=None, base=base)
    place.promote(second, "better", replacing=first)
    for wanted in (first, base):
        before = place.before()
        assert before == wanted
        assert place.roll_back(before).digest == place.promoted() == wanted
    with pytest.raises(SettingsError, match=f"its base {base} is promoted"):
        place.before()
    place.promote(second, "again", replacing=base)
    assert place.before() == base


def test_a_log_that_names_no_base_leads_to_the_one_it_was_rolled_back_to(
    filled: tuple[Registry, str, str],
) -> None:
    place, first, base = filled
    place.promote(first, "held against nothing", replacing=None)
    assert place.before() is None
    place.roll_back(base, note=", to its base")
    assert place.promoted() == base and place.log()[-1].reason == f"rolled back from {first}, to its base"
    with pytest.raises(SettingsError, match="its base"):
        place.before()


def test_who_judged_against_an_old_version_cannot_promote(filled: tuple[Registry, str, str]) -> None:
    place, first, second = filled
    place.promote(first, "first", replacing=None)
    with pytest.raises(StorageError, match="promoted meanwhile"):
        place.promote(second, "judged before", replacing=None)
    assert place.promoted() == first


class Early(Registry):
    """A registry read before anyone promoted."""

    def log(self) -> list[Promotion]:
        """See nothing yet."""
        return []


def test_of_two_who_promote_at_once_one_is_refused(filled: tuple[Registry, str, str]) -> None:
    place, first, second = filled
    place.promote(first, "first", replacing=None)
    with pytest.raises(StorageError, match="took number 1"):
        Early(place.url).promote(second, "read the log before", replacing=None)
    assert place.promoted() == first
