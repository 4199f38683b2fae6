"""HTML pages that need no other file, rendered from the templates beside this module."""

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tsp.errors import TspError
from tsp.io.files import atomic

TEMPLATES = Path(__file__).parent / "templates"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def render(template: str, values: Mapping[str, object]) -> str:
    """Fill a template, escaping every value that the template does not mark as safe.

    Args:
        template: file name in `TEMPLATES`.
        values: the template's variables by name.
    """
    return _environment().get_template(template).render(values)


def write_standalone(output: str | Path, title: str, content: str) -> None:
    """Write a page that holds only `content`, for `read_fragment` to include in the report."""
    values = {"title": title, "begin": BEGIN, "content": content, "end": END}
    with atomic(output) as temporary:
        temporary.write_text(render("standalone.html.j2", values), encoding="utf-8")


def read_fragment(path: str | Path) -> str:
    """The content of a page of `write_standalone`.

    Raises:
        TspError: the file is no such page.
    """
    page = Path(path).read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise TspError(f"{path}: not a page with a table; create it again")
    return page.split(BEGIN, 1)[1].split(END, 1)[0]


def data_url(content: bytes, media_type: str) -> str:
    """A file as the address of an image or video, such as `data:image/png;base64,...`."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
