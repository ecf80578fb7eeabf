"""The report of a batch: report.json for programs, report.html for people. One file each, nothing fetched from
anywhere.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from facerig.batch.table import Line
from facerig.batch.work import Result

WIDTH, HEIGHT = 320, 44
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>facerig batch</title><style>
body{{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#1c1917;background:#fafaf9}}
table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;padding:.4em .8em;vertical-align:top}}
tr{{border-bottom:1px solid #d6d3d1}}th{{position:sticky;top:0;background:#fafaf9}}
.failed{{color:#b91c1c;font-weight:600}}.skipped{{color:#78716c}}.done{{color:#15803d}}
small{{color:#78716c}}svg{{background:#fff;border:1px solid #e7e5e4}}
</style></head><body><h1>facerig batch</h1><p>{summary}</p><p><small>Curves: {legend}</small></p>
<table><thead><tr><th>row</th><th>audio</th><th>character</th><th>status</th><th>seconds</th><th>curves</th>
<th>files and remarks</th></tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""


def as_json(lines: Sequence[Line], results: Sequence[Result]) -> bytes:
    rows = [_row(line, result) for line, result in zip(lines, results, strict=True)]
    document = {"format": "facerig-batch-report", "version": 1, "totals": totals(results), "lines": rows}
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def totals(results: Sequence[Result]) -> dict[str, Any]:
    count = Counter(result.status for result in results)
    return {"lines": len(results), "done": count["done"], "skipped": count["skipped"], "failed": count["failed"],
            "warnings": sum(len(result.warnings) for result in results),
            "seconds": round(sum(result.seconds for result in results), 3)}


def _row(line: Line, result: Result) -> dict[str, Any]:
    return {"row": line.number, "audio": str(line.audio), "character": line.character, "emotion": line.emotion,
            "transcript": line.transcript, "status": result.status, "seconds": round(result.seconds, 4),
            "frames": result.frames, "took": result.took, "error": result.error, "warnings": list(result.warnings),
            "outputs": list(result.outputs)}


def as_html(lines: Sequence[Line], results: Sequence[Result]) -> bytes:
    all_of = totals(results)
    summary = (f"{all_of['lines']} lines, {all_of['seconds']:.1f} s: {all_of['done']} done, "
               f"{all_of['skipped']} unchanged, {all_of['failed']} failed, {all_of['warnings']} warnings.")
    names = list(dict.fromkeys(name for result in results for name in result.plot))[: len(COLOURS)]
    colours = dict(zip(names, COLOURS, strict=False))
    legend = ", ".join(f'<span style="color:{colour}">{html.escape(name)}</span>' for name, colour in colours.items())
    rows = "\n".join(_html_row(line, result, colours) for line, result in zip(lines, results, strict=True))
    return PAGE.format(summary=summary, legend=legend or "none", rows=rows).encode()


def _html_row(line: Line, result: Result, colours: dict[str, str]) -> str:
    remarks = [f'<a href="{html.escape(_url(name))}">{html.escape(name)}</a>' for name in result.outputs]
    remarks += [f'<span class="failed">{html.escape(result.error)}</span>'] if result.error else []
    remarks += [html.escape(warning) for warning in result.warnings]
    said = f"<br><small>{html.escape(line.transcript[:120])}</small>" if line.transcript else ""
    cells = (str(line.number), html.escape(line.audio.name) + said, html.escape(line.character),
             f'<span class="{result.status}">{result.status}</span>', f"{result.seconds:.2f}", _svg(result, colours),
             "<br>".join(remarks))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _url(name: str) -> str:
    from urllib.parse import quote

    return quote(name)


def _svg(result: Result, colours: dict[str, str]) -> str:
    drawn = [_polyline(values, colours[name]) for name, values in result.plot.items() if name in colours and values]
    if not drawn:
        return ""
    return (f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="curves">{"".join(drawn)}</svg>')


def _polyline(values: Sequence[float], colour: str) -> str:
    step = WIDTH / max(len(values) - 1, 1)
    points = " ".join(f"{number * step:.1f},{(HEIGHT - 2) * (1 - min(max(value, 0), 1)) + 1:.1f}"
                      for number, value in enumerate(values))
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1" points="{points}"/>'
