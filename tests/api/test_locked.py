"""What is installed is what was locked: every file of every package by its hash."""

import tomllib
from pathlib import Path

LOCK = Path(__file__).parents[2] / "uv.lock"


def test_every_locked_file_has_a_hash():
    """A package whose file is swapped on a mirror must not be installed."""
    packages = tomllib.loads(LOCK.read_text())["package"]
    ours = [package["name"] for package in packages if "registry" not in package["source"]]
    files = {
        package["name"]: [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        for package in packages
        if package["name"] not in ours
    }

    assert ours == ["opside-bff"]
    assert [name for name, listed in files.items() if not listed] == []
    assert [
        file["url"] for listed in files.values() for file in listed if not file["hash"].startswith("sha256:")
    ] == []
    assert len(files) > 50
