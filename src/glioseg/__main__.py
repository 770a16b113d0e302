"""The `glioseg` command, also as `python -m glioseg`."""

from glioseg.core.entry import (
    InterruptedExit,
    exit_interrupted,
    handle_interrupts,
    print_interrupted,
    was_interrupted,
)


def main() -> None:
    """Run the command; slow imports happen in here, so that Ctrl-C during them prints one line too."""
    handle_interrupts()
    try:
        from glioseg.cli import app

        app()
    except BaseException as error:
        if not was_interrupted(error):
            raise
        if not isinstance(error, InterruptedExit):
            print_interrupted("glioseg", error)
        exit_interrupted()


if __name__ == "__main__":
    main()
