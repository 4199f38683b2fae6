"""HTML that needs no other file: the page's frame and style, light and dark, narrow and wide."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

STYLE = """
:root{--bg:#fcfcfb;--card:#fff;--ink:#1d232a;--soft:#59636e;--line:#dfe3e8;--accent:#005b94;--mark:#eef4f9;
--warn-bg:#fff4d6;--warn-ink:#6b4a00;--warn-line:#e0b040}
@media (prefers-color-scheme:dark){:root{--bg:#14181d;--card:#1b2027;--ink:#e4e8ed;--soft:#9fa9b5;--line:#343c46;
--accent:#6db8ee;--mark:#202b36;--warn-bg:#3a2f12;--warn-ink:#ffdf94;--warn-line:#8a6a1c}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1240px;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:.5rem 0 .25rem;text-wrap:balance}
h2{font-size:1.25rem;line-height:1.3;margin:2.5rem 0 .5rem;text-wrap:balance}
h3{font-size:1.05rem;margin:1.5rem 0 .4rem}
h4{font-size:.95rem;margin:1rem 0 .4rem}
h3.group{border-top:1px solid var(--line);padding-top:1rem;margin-top:2rem}
p{margin:.4rem 0 .8rem;max-width:75ch}
a{color:var(--accent)}
.soft,figcaption,.notes{color:var(--soft);font-size:.9rem}
.banner{background:var(--warn-bg);color:var(--warn-ink);border:1px solid var(--warn-line);border-radius:8px;
padding:.7rem 1rem;margin:1rem 0}
.badge{display:inline-block;background:var(--warn-bg);color:var(--warn-ink);border:1px solid var(--warn-line);
border-radius:99px;font-size:.72rem;font-weight:600;padding:.05rem .6rem;vertical-align:middle;white-space:nowrap}
.summary{font-weight:600}
nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;list-style:none;padding:0;margin:.6rem 0 0;font-size:.92rem}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:.42rem .8rem;text-align:right;white-space:nowrap;border-top:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
thead th{border-top:0;color:var(--soft);font-weight:600}
tbody th{font-weight:600}
tr.sub th,tr.sub td{font-weight:400;color:var(--soft);border-top:0;padding-top:.05rem;font-size:.86rem}
tr.sub th:first-child{padding-left:1.8rem}
tr.difference th,tr.difference td{background:var(--mark)}
tr.reference th,tr.reference td{font-weight:400;color:var(--soft)}
tr.sub.difference+tr:not(.sub) th{border-top:1px solid var(--line)}
table.narrow thead th{white-space:normal;max-width:9rem;vertical-align:bottom}
table.text td,table.text th{text-align:left;vertical-align:top}
table.text td:last-child{white-space:normal;overflow-wrap:anywhere;min-width:13rem;width:100%}
.figures{display:flex;flex-wrap:wrap;align-items:flex-start;gap:0 2rem}
figure{margin:0 0 1.5rem;max-width:100%}
figure .scroll{background:#fff}figure.overlay{width:370px}figure video{display:block;width:100%}
figure img{display:block;width:100%;max-width:100%;height:auto}
figcaption{margin:.5rem 0 0}
.example{margin:0 0 2rem}.example video{display:block;width:100%;max-width:320px;margin:0 0 .7rem;
image-rendering:pixelated;background:#000}
.miniature .result .banner{display:none}
.notes{padding-left:1.3rem;margin:.6rem 0;overflow-wrap:anywhere}
.certainty{font-weight:600}
code{font-size:.88em;overflow-wrap:anywhere}
@media (max-width:600px){main{padding:1rem .8rem 3rem}h1{font-size:1.4rem}h2{font-size:1.12rem}
th,td{padding:.35rem .55rem}
tr.sub th:first-child{padding-left:1.2rem}figure img{min-width:min(100vw - 1.8rem,100%)}
figure.wide img{width:620px;max-width:none}
table.text th{white-space:normal;overflow-wrap:break-word;min-width:7rem;max-width:9rem}
table.text td:last-child{min-width:9.5rem}
.result th:first-child,table.narrow th:first-child{position:sticky;left:0;background:var(--card);
white-space:normal;min-width:8.5rem;max-width:10rem;overflow-wrap:break-word}
.result tr.difference th:first-child{background:var(--mark)}}
@media print{:root{--bg:#fff}.scroll{overflow:visible;border:0}figure,tr{break-inside:avoid}}
"""


def text(value: object) -> str:
    """`value` as HTML text, safe in attributes too."""
    return html.escape(str(value), quote=True)


def embedded(picture: str | Path) -> str:
    """A PNG as the address of an image."""
    return f"data:image/png;base64,{base64.b64encode(Path(picture).read_bytes()).decode('ascii')}"


def document(title: str, body: str) -> str:
    """A whole page around `body`."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def grid(header: Sequence[object], rows: Iterable[Sequence[object]], *, kind: str = "") -> str:
    """A table that scrolls in its own box; the first cell of each row is its heading.

    Args:
        header: names of the columns; empty: no header.
        rows: cells, plain text.
        kind: CSS class, `text` for cells that wrap.
    """
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td>{text(cell)}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{text(first)}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in header)
    top = f"<thead><tr>{head}</tr></thead>" if header else ""
    return f'<div class="scroll" tabindex="0"><table class="{kind}">{top}<tbody>{"".join(lines)}</tbody></table></div>'
