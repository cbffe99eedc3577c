"""Skipped files: their description counts them, and names the command that would scan a shard."""

from pipeline.scan.reading.skipped_files import SkippedFiles


def test_an_empty_folder_is_called_so() -> None:
    assert SkippedFiles().describe() == "there are no files"


def test_a_skipped_shard_is_named_as_a_source_that_a_shell_understands() -> None:
    text = SkippedFiles(skipped=1_200, shards=1, hidden=3, shard="/my photos/a.tar").describe()
    assert "1,200" in text
    assert "--source '/my photos/a.tar'" in text
    assert "begin with a dot: 3" in text
    assert text.endswith("--all-files tries each file as an image")
