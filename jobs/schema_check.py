"""`python -m jobs.schema_check`: refuse a change of an Avro schema that would break readers.

Each released version of `schemas/avro/<name>.avsc` lies in `schemas/avro/released` as
`<name>.v<number>.avsc`, and is never edited: `SHA256SUMS` there holds its checksum. `--release`
adds the files that changed, when nothing speaks against it.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path

import schemas
from schemas.evolution import Breach, breaches
from schemas.records import Schema

AVRO_FOLDER = Path(schemas.__file__).parent / "avro"
RELEASED_NAME = re.compile(r"(?P<name>\w+)\.v(?P<version>[1-9]\d*)\.avsc")
CHECKSUMS_NAME = "SHA256SUMS"


@dataclass(frozen=True)
class SchemaFolder:
    """The schemas as they are and as they were released.

    Args:
        path: holds `<name>.avsc`, and the folder `released`.
    """

    path: Path

    @property
    def released_path(self) -> Path:
        """Return the folder of the released versions."""
        return self.path / "released"

    def current(self) -> dict[str, Path]:
        """Return the schemas as they are, by name."""
        return {file.stem: file for file in sorted(self.path.glob("*.avsc"))}

    def released(self, name: str) -> dict[int, Path]:
        """Return the released versions of one schema, ascending."""
        found = {version: file for known, version, file in self._versions() if known == name}
        return dict(sorted(found.items()))

    def released_names(self) -> set[str]:
        """Return the schemas that were ever released."""
        return {name for name, _, _ in self._versions()}

    def checksums(self) -> dict[str, str]:
        """Return the recorded checksum of each released file, by file name."""
        path = self.released_path / CHECKSUMS_NAME
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        return {line.split()[1]: line.split()[0] for line in lines}

    def _versions(self) -> Iterator[tuple[str, int, Path]]:
        for file in self.released_path.glob("*.avsc"):
            found = RELEASED_NAME.fullmatch(file.name)
            if found is not None:
                yield found["name"], int(found["version"]), file


def check(folder: SchemaFolder) -> list[Breach]:
    """Return all that speaks against the schemas as they are; nothing when they may be released."""
    found = list(_edited(folder)) + list(_gaps(folder))
    for name, path in folder.current().items():
        versions = {number: _read(file) for number, file in folder.released(name).items()}
        try:
            found += breaches(name, _read(path), versions)
        except JSONDecodeError as error:
            found.append(Breach(path.name, "itself", "", f"{error}", "write it as JSON"))
    return found


def release(folder: SchemaFolder) -> list[str]:
    """Add each schema that is new or changed as its next version; return the new files' names."""
    added = []
    for name, path in folder.current().items():
        versions = folder.released(name)
        newest = max(versions, default=0)
        if versions and versions[newest].read_bytes() == path.read_bytes():
            continue
        file = folder.released_path / f"{name}.v{newest + 1}.avsc"
        file.write_bytes(path.read_bytes())
        with (folder.released_path / CHECKSUMS_NAME).open("a", encoding="ascii") as checksums:
            checksums.write(f"{_checksum(file)}  {file.name}\n")
        added.append(file.name)
    return added


def _edited(folder: SchemaFolder) -> Iterator[Breach]:
    """Find released files that are not what their checksum says; in both directions."""
    recorded = folder.checksums()
    present = {file.name: file for file in sorted(folder.released_path.glob("*.avsc"))}
    for name in sorted(recorded.keys() | present.keys()):
        if name not in present:
            what = "the released file is gone"
        elif name not in recorded:
            what = f"the file is not in {CHECKSUMS_NAME}"
        elif _checksum(present[name]) != recorded[name]:
            what = "the released file was edited"
        else:
            continue
        cure = f"restore it and {CHECKSUMS_NAME}; only `--release` adds files there"
        yield Breach(name, "its checksum", "", what, cure)


def _gaps(folder: SchemaFolder) -> Iterator[Breach]:
    for name in sorted(folder.released_names()):
        versions = list(folder.released(name))
        if versions != list(range(1, len(versions) + 1)):
            cure = "restore the versions between"
            yield Breach(f"{name}.avsc", "its versions", "", f"they are {versions}", cure)
        if name not in folder.current():
            cure = "restore it: its messages are still in the log"
            yield Breach(f"{name}.avsc", f"v{versions[-1]}", "", "the schema is gone", cure)


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _read(path: Path) -> Schema:
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    return schema


def main(arguments: list[str], folder: SchemaFolder) -> int:
    """Print what is wrong, one line each, or what was released; return the exit code."""
    if arguments not in ([], ["--release"]):
        print("schema_check: unknown arguments; allowed: --release", file=sys.stderr)
        return 2
    found = check(folder)
    for breach in found:
        print(breach, file=sys.stderr)
    if found:
        return 1
    if arguments:
        print("released:", ", ".join(release(folder)) or "nothing, no schema has changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SchemaFolder(AVRO_FOLDER)))
