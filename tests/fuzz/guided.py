"""Coverage-guided fuzzing of every reader: ``python -m fuzz.guided [--seconds 180] [TARGET ...]``.

Each target runs in a process of its own under atheris, which learns from the branches that an input
takes. What it learns is kept in `fuzz-corpus/`, so that the next run goes on from there; it begins
with `fuzz.seeds` and with the finds. An input that breaks something is kept in `finds/TARGET/`,
which `make test` replays for ever: add it to the repository together with what mends it.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FINDS = HERE / "finds"
CORPUS = Path("fuzz-corpus")
SLOWEST_S = 5
"""An input that takes longer is a find as well."""
MOST_MIB = 1500
_LENGTHS = {"sip-datagram": 4096, "sip-stream": 6000, "sound": 8192, "didml": 4096}
_LENGTH = 1500


def main() -> int:
    """Runs the targets one after the other; exit status 1 when one of them found something."""
    parser = argparse.ArgumentParser(prog="fuzz.guided", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=180, help="for each target")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _inside(options.inside, options.seconds)
    # Here, because the process that guides must see Outdial imported.
    from fuzz.targets import TARGETS

    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    ended = {name: _run(name, options.seconds) for name in options.targets or TARGETS}
    for name, (tried, covered, finds) in ended.items():
        print(f"{name:<14} {tried:>12,} inputs  {covered:>6} branches  {finds} finds")
    return 1 if any(finds for _, _, finds in ended.values()) else 0


def _run(name: str, seconds: int) -> tuple[int, int, int]:
    """Inputs tried, branches seen, finds."""
    from fuzz import seeds

    seeds.write(name, CORPUS / name)
    before = set((FINDS / name).glob("*"))
    with subprocess.Popen(
        [sys.executable, "-m", "fuzz.guided", "--inside", name, "--seconds", str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        tried = covered = 0
        last: list[str] = []
        for line in process.stdout:
            last = [*last[-40:], line]
            if found := re.match(r"#(\d+)\s.*cov: (\d+)", line):
                tried, covered = int(found[1]), int(found[2])
            elif found := re.match(r"Done (\d+) runs", line):
                tried = int(found[1])
    finds = len(set((FINDS / name).glob("*")) - before)
    if process.returncode and not finds:
        finds = 1
    if finds:
        print(f"{name} broke:\n{''.join(last)}", flush=True)
    return tried, covered, finds


def _inside(name: str, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    try:
        import atheris
    except ImportError:
        sys.exit(
            "make fuzz needs atheris, which has wheels for CPython 3.11 to 3.13 on Linux x86-64"
        )
    with atheris.instrument_imports(include=["outdial"]):
        from fuzz.targets import TARGETS
    corpus, finds = CORPUS / name, FINDS / name
    for folder in (corpus, finds):
        folder.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        *(f"-max_total_time={seconds}", f"-timeout={SLOWEST_S}", f"-rss_limit_mb={MOST_MIB}"),
        *(f"-max_len={_LENGTHS.get(name, _LENGTH)}", f"-artifact_prefix={finds}/"),
        *(str(corpus), str(finds)),
    ]

    def kept(data: bytes) -> None:
        try:
            TARGETS[name](data)
        except Exception:  # libFuzzer keeps what ends the process, and not always this
            (finds / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            raise

    atheris.Setup(arguments, kept)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
