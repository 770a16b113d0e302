"""The section `register`: under which name, and when the champion moves."""

from typing import Annotated

from pydantic import Field

from glioseg.params.sections import Section


class Register(Section):
    """Under which name, and when the champion moves."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    margin: Annotated[float, Field(ge=0)]
