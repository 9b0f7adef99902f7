"""Run vprobe and answer every failure in words: 0 is done, 1 is a vprobe error, 2 is wrong usage."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Start the command line; users never meet a traceback unless VPROBE_TRACEBACK is set."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    signal.signal(signal.SIGINT, _stop)
    from vprobe.cli import app
    from vprobe.errors import VprobeError

    try:
        app()
    except VprobeError as error:
        _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'file system'}: {error.strerror or error}")
    except Exception as error:
        _fail(f"unexpected {type(error).__name__}: {error}\nto do: run again with VPROBE_TRACEBACK=1 and report it")


def _stop(number: int, frame: object) -> None:
    sys.stderr.write("\nstopped; what was finished is kept, run the same command again to go on\n")
    raise KeyboardInterrupt


def _fail(message: str) -> None:
    if os.environ.get("VPROBE_TRACEBACK"):
        raise
    sys.stderr.write(f"vprobe: {message}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
