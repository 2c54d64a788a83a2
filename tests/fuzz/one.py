"""One target in a process of its own: `python -m tests.fuzz.one TARGET [options of libFuzzer] CORPUS ...`."""

import logging
import sys
import warnings

import atheris

# Only what is imported here is watched for new code: ours, and no library.
with atheris.instrument_imports(include=["monitoring_agent", "monitoring_supervisor"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    logging.disable()
    warnings.simplefilter("ignore")
    (target,) = (target for target in TARGETS if target.name == sys.argv[1])
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
