"""The scoreboard as tables for people, and the targets it is held against. Knows no maths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facerig.console import say, table

# title, figures (heading, key); headings are short, so that a table fits a terminal of 80 columns
TABLES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("heard: frames, p b m within 40 ms (percent, ms)", (
        ("vis-15", "viseme15"), ("spoken", "viseme15_in_speech"), ("units", "units"), ("sp/sil", "speech_silence"),
        ("pbm R", "pbm_recall"), ("P", "pbm_precision"), ("err ms", "pbm_onset_error_ms"),
    )),
    ("heard: p b m with onsets within 40 ms, f v, rounding", (
        ("pbm R", "pbm_onset_recall"), ("P", "pbm_onset_precision"), ("bias ms", "pbm_onset_bias_ms"),
        ("fv R", "fv_recall"), ("P", "fv_precision"), ("AUC", "rounding_auc"),
    )),
    ("shown: closures of the lips on a head", (
        ("pbm %", "closed_at_pbm"), ("vowels %", "closed_in_open_vowels"), ("gap R", "gap_recall"),
        ("P", "gap_precision"), ("err ms", "gap_onset_error_ms"), ("sil jaw", "jaw_in_silence"),
        ("open %", "open_in_silence"),
    )),
    ("shown: smoothness, range, critics", (
        ("jerk", "jerk"), ("jitter", "jitter"), ("range %", "out_of_range"), ("reader %", "lip_reader_error"),
        ("sync %", "sync_accuracy"), ("off ms", "sync_offset_ms"),
    )),
)  # fmt: skip
SHORT = {"viseme15": "vis-15", "speech_silence": "sp/sil", "pbm_recall": "pbm R", "pbm_precision": "P",
         "pbm_onset_error_ms": "err ms", "closed_at_pbm": "closed", "jaw_kept": "jaw"}  # fmt: skip
GRID_COLUMNS = ("gap_inner", "outer_height", "width_outer", "jaw_drop")
HEARD_TARGETS: tuple[tuple[str, str, str, float], ...] = (
    ("ljspeech", "viseme15", ">=", 68.0),
    ("emodb", "viseme15", ">=", 62.0),
    ("css10_es", "viseme15", ">=", 62.0),
    *((name, key, ">=", least) for name in ("ljspeech", "emodb", "css10_es") for key, least in (
        ("pbm_recall", 85.0), ("pbm_precision", 85.0), ("fv_recall", 70.0), ("fv_precision", 70.0),
        ("speech_silence", 95.0), ("closed_at_pbm", 90.0))),
    *((name, key, "<=", most) for name in ("ljspeech", "emodb", "css10_es") for key, most in (
        ("pbm_onset_error_ms", 15.0), ("closed_in_open_vowels", 5.0), ("jaw_in_silence", 0.02))),
)  # fmt: skip
MOTION_TARGETS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("grid", ("gap_inner", "r"), 0.92),
    ("grid", ("jaw_drop", "r"), 0.90),
    ("grid", ("width_outer", "r"), 0.78),
    ("grid", ("closure", "recall"), 88.0),
    ("grid", ("closure", "precision"), 90.0),
    ("facegood", ("1114_2_04", "jaw", "r"), 0.87),
    ("facegood", ("1114_3_15", "jaw", "r"), 0.72),
    ("facegood", ("1114_2_04", "rounding", "r"), 0.75),
    ("facegood", ("1114_3_15", "rounding", "r"), 0.75),
    ("facegood", ("1114_2_04", "closing", "r"), 0.60),
    ("facegood", ("1114_3_15", "closing", "r"), 0.60),
)


def show(result: Mapping[str, Any]) -> None:
    """All tables on stdout."""
    for name, held in result["sets"].items():
        for rival, count in held.get("rivals", {}).items():
            if count < held["clips"]:
                say(f"{name}: {rival} has {count} of {held['clips']} clips, and is judged on those alone")
        for title, columns in TABLES:
            _systems(f"{name} ({held['language']}, {held['clips']} clips), {title}", columns, held)
        _motion(name, held["systems"])
    for key, title in (("robustness", "Robustness"), ("not_speech", "Sounds that are not speech, never learnt from"),
                       ("not_speech_learnt", "Sounds of the kinds that decoders learnt to rest at")):  # fmt: skip
        if key in result:
            _plain(title, result[key])
    _published(result.get("rhubarb_published", {}))
    if "after_end" in result:
        _plain("Mouth from 200 ms after a hard end", {"cut clips": result["after_end"]})
    rows = targets(result)
    table(f"Targets for {result['model']}", ("set", "figure", "target", "got", ""), rows, right=("target", "got"))


def _systems(title: str, columns: Sequence[tuple[str, str]], held: Mapping[str, Any]) -> None:
    rows = [[system, *(_cell(figures.get(key)) for _, key in columns)] for system, figures in held["systems"].items()
            if any(figures.get(key) is not None for _, key in columns)]  # fmt: skip
    if rows:
        table(title, ("system", *(heading for heading, _ in columns)), rows, right=[heading for heading, _ in columns])


def _motion(name: str, by_system: Mapping[str, Any]) -> None:
    if name == "ema":
        return _articulograph(by_system)
    rows = []
    for system, figures in by_system.items():
        moved = figures.get("motion", {})
        if name == "grid" and moved:
            closure = moved.get("closure", {})
            lag = moved.get("gap_inner", {}).get("lag_ms")
            inside = moved.get("jaw_drop", {}).get("r_in_clips")
            rest = (inside, closure.get("recall"), closure.get("precision"), lag, moved.get("gap_error_mm"))
            rows.append([system, *(_cell(moved.get(c, {}).get("r")) for c in GRID_COLUMNS), *map(_cell, rest)])
        elif name == "facegood":
            rows += [[system, clip.removeprefix("1114_"), *map(_cell, _solved(own))]
                     for clip, own in moved.items() if own]  # fmt: skip
    if rows and name == "grid":
        heads: tuple[str, ...] = ("system", "gap", "height", "width", "jaw", "in clips", "clos R", "P", "lag", "mm")
        table("grid: lips (r; jaw in clips too), closures (%), lag (ms), gap error (mm)", heads, rows, right=heads[1:])
    elif rows:
        heads = ("system", "clip", "jaw", "round", "close", "lag", "LVE", "MVE")
        table("facegood: solved curves (r), jaw's lag (ms), distances on a head (mm)", heads, rows, right=heads[2:])


def _articulograph(by_system: Mapping[str, Any]) -> None:
    rows = []
    for system, figures in by_system.items():
        lips, jaw = (figures.get("motion", {}).get(name, {}) for name in ("lips", "jaw"))
        if lips:
            each = [_cell(own["r"]) for part in (lips, jaw) for own in part["clips"].values()]
            rows.append([system, _cell(lips["r"]), _cell(jaw["r"]), *each])
    clips = (len(rows[0]) - 3) // 2 if rows else 0
    heads = ("system", "lips", "jaw", *(f"{part} {k + 1}" for part in ("lips", "jaw") for k in range(clips)))
    if rows:
        table("ema: lips and jaw of talkers never seen (r: mean, each clip)", heads, rows, right=heads[1:])


def _published(held: Mapping[str, Any]) -> None:
    rows = [(name, kind.replace("_", " "), *(_cell(side[key]) for key in ("ours", "published", "times_fewer")))
            for name, kinds in held.get("sets", {}).items() for kind, side in kinds.items()]  # fmt: skip
    if rows:
        heads = ("set", "errors (percent)", "ours", "rhubarb", "x fewer")
        table("Beside rhubarb 1.14 as published: another's run", heads, rows, right=heads[2:])
    for name, why in held.get("left_out", {}).items():
        say(f"beside rhubarb 1.14 as published: {name}: {why}")


def _solved(own: Mapping[str, Any]) -> tuple[Any, ...]:
    tracks = [own.get(name, {}) for name in ("jaw", "rounding", "closing")]
    return (*(track.get("r") for track in tracks), tracks[0].get("lag_ms"), own.get("lve_mm"), own.get("mve_mm"))


def _plain(title: str, held: Mapping[str, Mapping[str, Any]]) -> None:
    columns = list(next(iter(held.values())))
    rows = [[name, *(_cell(figures.get(column)) for column in columns)] for name, figures in held.items()]
    heads = [SHORT.get(column, column) for column in columns]
    table(title, ("", *heads), rows, right=heads)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def targets(result: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """(set, figure, target, got, verdict) of the model for every target whose set was run."""
    rows = []
    for name, key, sign, bound in HEARD_TARGETS:
        if name in result["sets"]:
            got = result["sets"][name]["systems"][result["model"]].get(key)
            rows.append(_verdict(name, key, sign, bound, got))
    for name, path, bound in MOTION_TARGETS:
        if name in result["sets"]:
            got = result["sets"][name]["systems"][result["model"]].get("motion", {})
            for step in path:
                got = got.get(step, {}) if isinstance(got, Mapping) else None
            rows.append(_verdict(name, " ".join(path), ">=", bound, got if isinstance(got, int | float) else None))
    return rows + _rival_targets(result) + _stress_targets(result)


def _rival_targets(result: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Rhubarb's published errors over ours; no error at all is as many times fewer as one likes."""
    held = result.get("rhubarb_published", {}).get("sets", {})
    return [_verdict(name, "rhubarb's errors over ours", ">=", 2.0, kinds["all"]["times_fewer"] or float("inf"))
            for name, kinds in held.items()]  # fmt: skip


def _stress_targets(result: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    rows = []
    if "after_end" in result:
        rows.append(_verdict("after the end", "largest_jaw", "<=", 0.02, result["after_end"]["largest_jaw"]))
    if "not_speech" in result:
        worst = max(figures["mean_jaw"] for figures in result["not_speech"].values())
        rows.append(_verdict("not speech", "worst mean_jaw", "<=", 0.05, worst))
    if "robustness" in result:
        held = result["robustness"]
        lost = _lost(held["clean"]["pbm_recall"], held["snr10"]["pbm_recall"])
        rows.append(_verdict("noise at 10 dB", "share of pbm_recall lost %", "<=", 10.0, lost))
        rows.append(_verdict("whisper", "jaw_kept", ">=", 0.8, held["whisper"]["jaw_kept"]))
    return rows


def _lost(clean: float | None, noisy: float | None) -> float | None:
    return round(100 * (1 - noisy / clean), 1) if clean and noisy is not None else None


def _verdict(name: str, key: str, sign: str, bound: float, got: float | None) -> tuple[str, str, str, str, str]:
    if got is None:
        return name, key, f"{sign} {bound:g}", "-", "not measured"
    reached = got >= bound if sign == ">=" else got <= bound
    return name, key, f"{sign} {bound:g}", f"{got:g}", "reached" if reached else "missed"
