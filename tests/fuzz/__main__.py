"""`make fuzz`: every target for a while with atheris, which looks for bytes that reach new code.

    python -m tests.fuzz [--seconds 60] [--jobs 2] [--seed 0] [TARGET ...]

What ends a target with an exception is printed and kept under tests/fuzz/cases, where `make test` tries it again. What
was found to reach new code stays in var/fuzz, and the next run begins with it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.targets import CASES, ROOT, TARGETS, FuzzTarget

CORPUS = ROOT / "var" / "fuzz"
# So long one input may take, and so much memory the process, before that is a finding too.
INPUT_SECONDS, MEMORY_MIB = 10, 1024
MAX_INPUT_BYTES = 16_384


def main() -> int:
    """The number of targets in which something was found is what it ends with."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers of both sides.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time (2)")
    parser.add_argument("--seed", type=int, default=0, help="what chance begins with; 0 for another one each time (0)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=" ".join(target.name for target in TARGETS))
    arguments = parser.parse_args()
    chosen = [target for target in TARGETS if not arguments.targets or target.name in arguments.targets]
    if unknown := set(arguments.targets) - {target.name for target in chosen}:
        parser.error(f"no target of the name {', '.join(sorted(unknown))}")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        return sum(pool.map(lambda target: _fuzz(target, arguments.seconds, arguments.seed), chosen))


def _fuzz(target: FuzzTarget, seconds: int, seed: int) -> bool:
    """Whether something was found."""
    corpus, cases = CORPUS / target.name, CASES / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    cases.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(content)
    words = CORPUS / f"{target.name}.words"
    words.write_text("".join(_quoted(word) for word in target.words), "ascii")
    command = [sys.executable, "-m", "tests.fuzz.one", target.name, f"-max_total_time={seconds}", f"-seed={seed}"]
    command += [f"-artifact_prefix={cases}/", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}"]
    command += [f"-max_len={MAX_INPUT_BYTES}", *([f"-dict={words}"] if target.words else []), str(corpus), str(cases)]
    # libFuzzer ends its process on the spot: what the target put into its temporary directory would stay.
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        environ = {**os.environ, "TMPDIR": scratch}
        ended = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, errors="replace", check=False
        )
    lines = ended.stderr.splitlines() + ended.stdout.splitlines()
    done = next((line.strip() for line in reversed(lines) if line.startswith("Done ")), "ended early")
    coverage = next((line.strip() for line in reversed(lines) if " cov: " in line), "")
    print(f"{target.name:>12}  {'FOUND' if ended.returncode else 'nothing'}  {done}  {coverage}", flush=True)
    if ended.returncode:
        print("\n".join(line for line in lines if not line.startswith(("#", "INFO:", "WARNING:"))), flush=True)
    if not any(cases.iterdir()):
        cases.rmdir()
    return ended.returncode != 0


def _quoted(word: bytes) -> str:
    """As libFuzzer wants it in a dictionary."""
    escaped = "".join(f"\\x{byte:02x}" for byte in word)
    return f'"{escaped}"\n'


if __name__ == "__main__":
    sys.exit(main())
