"""Copies what the pages in public/ take from npm out of its pinned tarballs: `python -m scripts.vendor`.

The copies are committed, so that nothing is downloaded to serve or to deploy; tests compare them with the tarballs.
Needs npm, which knows where its registry is. Must never write a byte of a tarball that has another SHA-512 than here.
"""

import argparse
import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".bundle"


class VendorError(Exception):
    """A tarball could not be fetched, or is not the pinned one; the text says which."""


@dataclass(frozen=True, slots=True)
class Tarball:
    """A version of npm's, its SHA-512 as npm's lock files have it, and where files of it go, below the project."""

    name: str
    version: str
    integrity: str
    files: dict[str, str]


SWAGGER_UI = Tarball(
    "swagger-ui-dist",
    "5.35.0",
    "U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
    {
        "swagger-ui.css": "public/docs/try/swagger-ui.css",
        "swagger-ui-bundle.js": "public/docs/try/swagger-ui-bundle.js",
        "swagger-ui-bundle.js.LICENSE.txt": "public/docs/try/swagger-ui-bundle.js.LICENSE.txt",
        "LICENSE": "public/docs/try/LICENSE.txt",
        "NOTICE": "public/docs/try/NOTICE.txt",
    },
)
# preact with its hooks, and htm, in one module; each has a license of its own.
HTM = Tarball(
    "htm",
    "3.1.1",
    "983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
    {"preact/standalone.module.js": "public/playground/preact.js", "LICENSE": "public/playground/htm.LICENSE.txt"},
)
PREACT = Tarball(
    "preact",
    "10.5.14",
    "KojoltCrshZ099ksUZ2OQKfbH66uquFoxHSbnwKbTJHeQNvx42EmC7wQVWNuDt6vC5s3nudRHFtKbpY4ijKlaQ==",
    {"LICENSE": "public/playground/preact.LICENSE.txt"},
)
COPIED = (SWAGGER_UI, HTM, PREACT)

# What looks for faults of accessibility in the tests; it is not published, so not committed either.
AXE = Tarball(
    "axe-core",
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    {"axe.min.js": ".bundle/axe.min.js"},
)


def contents(tarball: Tarball) -> dict[Path, bytes]:
    """What each of its files has in it, by where it goes. Raises VendorError."""
    packed = _fetched(tarball)
    with tarfile.open(packed) as archive:
        found = {target: archive.extractfile(f"package/{source}") for source, target in tarball.files.items()}
        return {ROOT / target: file.read() for target, file in found.items() if file}


def _fetched(tarball: Tarball) -> Path:
    """The tarball, in .bundle/, fetched where it is missing. Raises VendorError."""
    packed = WORK / f"{tarball.name}-{tarball.version}.tgz"
    if not packed.is_file():
        WORK.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WORK, prefix="fetching-") as folder:
            command = ["npm", "pack", "--silent", "--ignore-scripts", f"{tarball.name}@{tarball.version}"]
            try:
                subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise VendorError(f"could not fetch {tarball.name} {tarball.version}: {error}") from None
            (Path(folder) / packed.name).rename(packed)
    digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
    if digest != tarball.integrity:
        packed.unlink()
        raise VendorError(
            f"{tarball.name} {tarball.version} is not the tarball that was pinned: its SHA-512 is {digest}"
        )
    return packed


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status."""
    described = "Copies what the pages in public/ take from npm out of its pinned tarballs."
    argparse.ArgumentParser(prog="python -m scripts.vendor", description=described).parse_args(arguments)
    try:
        for tarball in COPIED:
            for path, content in contents(tarball).items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                print(f"{path.relative_to(ROOT)}: {len(content):,} bytes of {tarball.name} {tarball.version}")
    except VendorError as error:
        print(f"vendor: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
