"""The `glioseg` command, also as `python -m glioseg`."""

from glioseg.core.entry import Stopped, interrupted, leave, note_interrupts, say_stopped


def main() -> None:
    """Run the command; what takes long to import is imported in here, so that Ctrl-C is one line then too."""
    note_interrupts()
    try:
        from glioseg.cli import app

        app()
    except BaseException as error:
        if not interrupted(error):
            raise
        if not isinstance(error, Stopped):
            say_stopped("glioseg", error)
        leave()


if __name__ == "__main__":
    main()
