"""Where the time of a keyframe goes: one bar for each voxel size, as a plain SVG."""

from xml.sax.saxutils import escape

from growth import nice_step

from . import goals

COLOURS = {"upload": "#9cc9e3", "rays": "#f9c784", "integrate": "#a8d8a0", "extract": "#c9b8e3", "rest": "#dcdcdc"}
REST = "host and waiting"
WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 860, 70, 30, 96, 92, 34


def draw(rows, heading):
    """`rows` as stages.row makes them. A bar ends where its stages' medians add up to; a line marks the median of the whole."""
    bars = [pieces(row) for row in rows]
    totals = [row["stages"]["total"]["median_ms"] for row in rows]
    wanted = [goals.STAGES_MS.get(row["voxel_m"]) if "goals" in row else None for row in rows]
    ends = [sum(ms for _, ms in bar) for bar in bars]
    most = 1.08 * max(*totals, *ends, *(goal or 0 for goal in wanted))
    foot = TOP + ROW * len(rows) - 12
    height = foot + 46

    def x(ms):
        return LEFT + (WIDTH - LEFT - RIGHT) * ms / most

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(LEFT, 24, "Where the time of a keyframe goes", 'font-size="16" font-weight="bold"'),
        _text(LEFT, 44, heading),
    ]
    at = LEFT
    for name in dict.fromkeys(name for bar in bars for name, _ in bar):
        words = REST if name == "rest" else name
        out.append(f'<rect x="{at}" y="58" width="12" height="12" fill="{COLOURS[name]}"/>')
        out.append(_text(at + 17, 68, words))
        at += 34 + 7 * len(words)
    out.append(f'<path d="M{at + 6} 56v16" stroke="#222" stroke-width="2.5"/>')
    out.append(_text(at + 14, 68, "whole, median"))
    if any(wanted):
        out.append(f'<path d="M{at + 122} 56v16" stroke="#b3261e" stroke-width="2.5" stroke-dasharray="4 2"/>')
        out.append(_text(at + 130, 68, "goal"))

    step = nice_step(most, 8)
    out.append(f'<path d="M{LEFT} {foot}H{WIDTH - RIGHT}" stroke="#888"/>')
    for k in range(int(most / step) + 1):
        # Beside the bars alone, so that no line goes through the words below them.
        for top in (TOP + ROW * number for number in range(len(rows))):
            out.append(f'<path d="M{x(k * step):.1f} {top - 8}v{BAR + 14}" stroke="#ddd"/>')
        out.append(f'<path d="M{x(k * step):.1f} {foot}v5" stroke="#888"/>')
        out.append(_text(x(k * step), foot + 16, f"{k * step:g}", 'text-anchor="middle"'))
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, foot + 36, "ms per keyframe, medians", 'text-anchor="middle"'))

    for number, (row, bar, total, goal) in enumerate(zip(rows, bars, totals, wanted)):
        top = TOP + ROW * number
        marks = [total, goal] if goal else [total]
        out.append(_text(LEFT - 10, top + BAR / 2 + 5, f"{row['voxel_m'] * 100:g} cm",
                         'text-anchor="end" font-size="14" font-weight="bold"'))
        begin = 0.0
        for name, ms in bar:
            wide = x(begin + ms) - x(begin)
            out.append(f'<rect x="{x(begin):.1f}" y="{top}" width="{wide:.1f}" height="{BAR}" fill="{COLOURS[name]}" '
                       'stroke="#fff"/>')
            half = 3.6 * len(_ms(ms)) + 3  # of the words' width
            if wide > 2 * half and all(abs(x(mark) - x(begin) - wide / 2) > half for mark in marks):
                out.append(_text(x(begin) + wide / 2, top + BAR / 2 + 4, _ms(ms), 'text-anchor="middle"'))
            begin += ms
        out.append(f'<path d="M{x(total):.1f} {top - 5}v{BAR + 10}" stroke="#222" stroke-width="2.5"/>')
        if goal:
            out.append(f'<path d="M{x(goal):.1f} {top - 5}v{BAR + 10}" stroke="#b3261e" stroke-width="2.5" '
                       'stroke-dasharray="4 2"/>')
        out.append(_text(LEFT, top + BAR + 20, _sentence(row, bar, total, goal), 'font-size="11.5"'))
    out.append("</svg>")
    return "\n".join(out) + "\n"


def pieces(row):
    """(stage, median in ms), in the order of work; what the whole takes longer than its stages together comes last."""
    stages = row["stages"]
    bar = [(name, stages[name]["median_ms"]) for name in COLOURS if name in stages]
    rest = stages["total"]["median_ms"] - sum(ms for _, ms in bar)
    return bar + [("rest", rest)] if "device" in stages and rest > 0 else bar


def _sentence(row, bar, total, goal):
    parts = ", ".join(f"{REST if name == 'rest' else name} {_ms(ms)}" for name, ms in bar)
    whole = f"whole {_ms(total)} ms, 99 % within {_ms(row['stages']['total']['p99_ms'])}"
    return f"{parts}; {whole}" + (f"; goal {goal:g}" if goal else "")


def _ms(value):
    """Three digits that count, without an exponent."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _text(at_x, at_y, words, more=""):
    return f'<text x="{at_x:.1f}" y="{at_y:.1f}" {more}>{escape(words)}</text>'
