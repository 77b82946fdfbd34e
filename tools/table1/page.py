"""One self-contained page of plots from what scripts/table1 measured: no scripts, nothing fetched, readable in light and dark, in print and without colours."""
import html
import math

import methods
import plot

STYLE = """
:root { --ink: #1c2430; --soft: #5a6675; --line: #dde3ea; --card: #fff; --page: #f5f7fa; --heat: #3d8fd1; --eddh: #c44d00; --free: #6b7280; --shallow: #0b66a8;
	--deep: #00805e; --other: #a8437c; }
@media (prefers-color-scheme: dark) {
	:root { --ink: #e6ebf2; --soft: #9aa7b7; --line: #313c4a; --card: #1b232e; --page: #11171f; --heat: #2f7fc4; --eddh: #ff8a3d; --free: #a0a8b4; --shallow: #6cb8f0;
		--deep: #35c79a; --other: #e29ac4; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 22px; margin: 48px 0 4px; }
h3 { font-size: 15px; margin: 0; }
p { max-width: 78ch; margin: 4px 0 14px; }
.soft, .card p { color: var(--soft); }
.card p { margin: 0 0 6px; font-size: 13px; }
code { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
.facts { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.fact { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px; min-width: 130px; font-size: 14px; color: var(--soft); }
.fact b { display: block; font-size: 24px; line-height: 1.25; color: var(--ink); }
.key { max-width: none; }
.key span { display: inline-block; margin-right: 20px; font-size: 14px; }
.key svg { width: 30px; height: 10px; vertical-align: middle; margin-right: 6px; display: inline-block; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 16px; margin: 12px 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; overflow-x: auto; }
.wide-card { grid-column: 1 / -1; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 10px 14px; }
.tiles h4 { font-size: 13px; margin: 0; color: var(--c); }
.tiles h4 small { color: var(--soft); font-weight: 400; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); }
.axis, .tick { stroke: var(--soft); stroke-width: .75; }
.eddh { --c: var(--eddh); } .free { --c: var(--free); } .shallow { --c: var(--shallow); } .deep { --c: var(--deep); } .other { --c: var(--other); }
.line { fill: none; stroke: var(--c); stroke-width: 1.6; stroke-linejoin: round; }
.wide { fill: none; stroke: transparent; stroke-width: 12; }
.free .line { stroke-dasharray: 1.5 3.5; stroke-linecap: round; stroke-width: 2.2; }
.other .line { stroke-dasharray: 6 3; }
.shallow .line { stroke-width: 2.2; }
.eddh .line { stroke-width: 3.4; }
.tiles .line { stroke-width: 1.5; stroke-dasharray: none; }
.band { fill: var(--c); opacity: 0; }
.eddh .band { opacity: .13; }
.series circle { fill: var(--c); stroke: var(--card); stroke-width: 1; }
.leader { fill: none; stroke: var(--c); stroke-width: .7; opacity: .55; }
svg .label { fill: var(--c); font-size: 12px; }
.eddh .label { font-weight: 700; }
svg:has(.series:hover) .series:not(:hover) { opacity: .14; }
.series:hover .band { opacity: .2; }
.heat { border-collapse: separate; border-spacing: 2px; font-size: 13px; font-variant-numeric: tabular-nums; width: 100%; }
.heat th { font-weight: 500; color: var(--soft); padding: 2px 6px; text-align: center; }
.heat tr:first-child th:first-child, .heat td:first-child { text-align: left; white-space: nowrap; }
.heat th.set { border-bottom: 1px solid var(--line); color: var(--ink); }
.heat td { text-align: center; padding: 3px 5px; border-radius: 3px; }
.heat td.v { background: color-mix(in srgb, var(--heat) var(--s), transparent); }
.heat td.best { outline: 2px solid var(--ink); outline-offset: -2px; font-weight: 700; }
.heat td.m { color: var(--c); font-weight: 600; }
.heat tr.eddh td.m { font-weight: 800; }
table.plain { border-collapse: collapse; }
table.plain th, table.plain td { text-align: right; padding: 4px 12px; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
table.plain th:first-child, table.plain td:first-child { text-align: left; }
@media print { .card { break-inside: avoid; } body { background: none; } }
"""

SETS = {"caltech51": "Caltech, 51 classes", "coco256": "COCO, 256 pictures, several labels each", "cifar10": "CIFAR-10", "fashion": "Fashion-MNIST", "flowers12": "Flowers, 12 classes"}
CURVES = {"loss": "loss by epoch", "objective": "objective by round", "quantisation": "quantisation error by iteration", "residual": "residual by bit",
          "changed": "share of bits that change, by round"}
HEAT_RANGE = 0.25  # a cell this far below the best of its column has no colour


def card(title, text, body, css=""):
    return f'<div class="card {css}"><h3>{html.escape(title)}</h3><p>{html.escape(text)}</p>{body}</div>'


def value(cells, method, bits, measure="map"):
    return cells[method, bits, measure][0]


def drawn_last(names):
    """Lines in the order in which they are drawn: EDDH on top."""
    return sorted(names, key=lambda m: (methods.family(m) == "eddh", m))


def by_bits(cells, bits, names):
    series = [(m, methods.family(m), [(b, *cells[m, b, "map"][:2]) for b in bits]) for m in drawn_last(names)]
    low = min(y for _, _, line in series for _, y, _ in line)
    high = max(y for _, _, line in series for _, y, _ in line)
    axes = plot.Axes((bits[0], bits[-1]), (max(0, low - 0.03), min(1, high + 0.03)))
    body = axes.grid([(b, b) for b in bits], "bits", "mAP")
    return axes.svg("mAP by bits", body + plot.lines(axes, series, lambda p: f"{p[0]} bits: {p[1]:.3f} ± {p[2]:.3f}"))


def middle(bits):
    """48 bits or what is nearest to it."""
    return min(bits, key=lambda b: (abs(b - 48), b))


def precision_recall(curves, bits, names):
    """curves: method -> curves of the head that was chosen for it."""
    series, area = [], {}
    for m in drawn_last(names):
        precision, recall = (dict(curves[m].get((m, bits, c), [])) for c in ("micro_precision", "micro_recall"))
        line = [(recall[r], precision[r], 0) for r in sorted(recall) if recall[r] > 0]
        if line:
            series.append((m, methods.family(m), line))
            whole = [(0, line[0][1])] + [(r, p) for r, p, _ in line]
            area[m] = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(whole, whole[1:]))
    if not series:
        return ""
    axes = plot.Axes((0, 1), (0, 1), right=140)
    body = axes.grid([(v, plot.tick_text(v)) for v in plot.nice_ticks(0, 1)], "recall", "precision")
    return axes.svg("precision against recall", body + plot.lines(axes, series, lambda p: f"recall {p[0]:.2f}: precision {p[1]:.2f}", area))


def cost(cells, bits, names):
    points = [(m, methods.family(m), max(0.01, value(cells, m, bits, "train_seconds")), value(cells, m, bits)) for m in names]
    low, high = min(p[2] for p in points), max(p[2] for p in points)
    axes = plot.Axes((low / 1.3, high * 1.3), (max(0, min(p[3] for p in points) - 0.03), min(1, max(p[3] for p in points) + 0.03)), right=70, log_x=True)
    ticks = [(m * 10.0 ** e, plot.tick_text(m * 10.0 ** e)) for e in range(-3, 6) for m in (1, 2, 5) if low / 1.3 <= m * 10.0 ** e <= high * 1.3]
    body = axes.grid(ticks, "seconds of training", "mAP")
    return axes.svg("mAP by seconds of training", body + plot.scatter(axes, points, lambda p: f"{p[0]:.1f} s, mAP {p[1]:.3f}"))


def training(curves, names):
    """A tile a method: what it reports of its training, one line a length, the longest darkest."""
    tiles = []
    for m, curve in [(m, curve) for m in names for curve in CURVES if any(key[0] == m and key[2] == curve for key in curves[m])]:
        found = curves[m]
        drawn = [(bits, found[m, bits, curve]) for bits in sorted(key[1] for key in found if key[0] == m and key[2] == curve)]
        steps = [s for _, line in drawn for s, _ in line]
        values = [v for _, line in drawn for _, v in line]
        low, high = min(0, min(values)), max(values)
        axes = plot.Axes((min(steps), max(steps)), (low, high if high > low else low + 1), width=220, height=120, left=34, right=10, top=8, bottom=18)
        body = "".join(f'<line class="grid" x1="{axes.left}" x2="{axes.right}" y1="{plot.number(axes.y(v))}" y2="{plot.number(axes.y(v))}"/><text x="{axes.left - 4}" y="{plot.number(axes.y(v))}" dy=".32em" text-anchor="end">{plot.tick_text(v)}</text>'
                       for v in plot.nice_ticks(low, axes.y_range[1], 2))
        body += "".join(f'<text x="{plot.number(axes.x(s))}" y="{axes.height - 4}" text-anchor="{anchor}">{s}</text>' for s, anchor in ((min(steps), "start"), (max(steps), "end")) if min(steps) < max(steps))
        for i, (bits, line) in enumerate(drawn):
            shade = 0.3 + 0.7 * (i + 1) / len(drawn)
            body += f'<g class="series" opacity="{shade:.2f}"><polyline class="wide" points="{axes.points(line)}"/><polyline class="line" points="{axes.points(line)}"/><title>{bits} bits: {line[0][1]:.4g} to {line[-1][1]:.4g}</title></g>'
        tiles.append(f'<div class="{methods.family(m)}"><h4>{html.escape(m)} <small>{CURVES[curve]}</small></h4>{axes.svg(m + ": " + CURVES[curve], body)}</div>')
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def learning(labels):
    """labels: (set, method, bits) -> [(pictures, mAP, deviation)]. A card a set and length."""
    parts = []
    for data, bits in sorted({(d, b) for d, _, b in labels}):
        series = [(m, methods.family(m), labels[data, m, bits]) for m in drawn_last({m for d, m, b in labels if (d, b) == (data, bits)})]
        counts = sorted({x for _, _, line in series for x, _, _ in line})
        ys = [y for _, _, line in series for _, y, _ in line]
        axes = plot.Axes((counts[0], counts[-1]), (max(0, min(ys) - 0.05), min(1, max(ys) + 0.05)), log_x=True)
        body = axes.grid([(n, n) for n in counts], "labelled pictures to learn from", "mAP")
        body += plot.lines(axes, series, lambda p: f"{p[0]} pictures: {p[1]:.3f} ± {p[2]:.3f}")
        parts.append(card(f"{SETS.get(data, data)}, {bits} bits", "Queries and database stay the same; only the pictures that are learned from grow.", axes.svg("mAP by labelled pictures", body)))
    return f'<h2>How many labels are enough?</h2><div class="cards">{"".join(parts)}</div>' if parts else ""


def heat(tables, head):
    """Every method on every set and length with one head: the gap to the best of the column as colour."""
    sets = [data for data, h in tables if h == head]
    columns = [(data, b) for data in sets for b in sorted({b for _, b, _ in tables[data, head]})]
    names = [m for m in methods.in_order({m for data in sets for m, _, _ in tables[data, head]}) if all((m, b, "map") in tables[d, head] for d, b in columns)]
    best = {c: max(value(tables[c[0], head], m, c[1]) for m in names) for c in columns}
    gap = {m: sum(best[d, b] - value(tables[d, head], m, b) for d, b in columns) / len(columns) for m in names}
    rows = ['<tr><th rowspan="2">method</th>' + "".join(f'<th class="set" colspan="{sum(d == data for d, _ in columns)}">{html.escape(data)}</th>' for data in sets) + '<th rowspan="2">behind the best,<br>on average</th></tr>',
            "<tr>" + "".join(f"<th>{b}</th>" for _, b in columns) + "</tr>"]
    for m in sorted(names, key=lambda m: gap[m]):
        row = []
        for d, b in columns:
            v, deviation, _ = tables[d, head][m, b, "map"]
            share = max(0, 1 - (best[d, b] - v) / HEAT_RANGE)
            row.append(f'<td class="v{" best" if v == best[d, b] else ""}" style="--s:{75 * share * share:.0f}%" title="{html.escape(m)}, {d}, {b} bits: {v:.3f} ± {deviation:.3f}">{v:.3f}</td>'.replace(">0.", ">."))
        rows.append(f'<tr class="{methods.family(m)}"><td class="m">{html.escape(m)}</td>{"".join(row)}<td>{gap[m]:.3f}</td></tr>')
    return f'<table class="heat">{"".join(rows)}</table>', gap


def key():
    out = []
    for css, text in methods.FAMILIES.items():
        out.append(f'<span><svg viewBox="0 0 30 10"><g class="series {css}"><polyline class="line" points="1,5 29,5"/></g></svg>{html.escape(text)}</span>')
    return f'<p class="key">{"".join(out)}</p>'


def section(data, results):
    heads = [head for d, head in results.tables if d == data and head != "better"]
    shown = results.tables.get((data, "better"), results.tables[data, heads[0]])
    bits = sorted({b for _, b, _ in shown})
    names = methods.in_order({m for m, _, _ in shown})
    curves = {m: results.curves.get((data, results.chosen.get((data, m), heads[0])), {}) for m in names}
    at = middle(bits)
    head_of_each = "each method with its better head" if len(heads) > 1 else methods.HEADS[heads[0]]
    parts = []
    for head in heads:
        cells = results.tables[data, head]
        parts.append(card(f"mAP by bits, {methods.HEADS[head]}", "Whole ranking, exact over ties. The band is the deviation over seeded splits; point at a line to see its own.",
                          by_bits(cells, sorted({b for _, b, _ in cells}), methods.in_order({m for m, _, _ in cells}))))
    body = precision_recall(curves, at, names)
    if body:
        parts.append(card(f"Precision against recall, {at} bits", f"All pairs within balls of growing radius, first seed; {head_of_each}. Names in order of the area below their line; point at a line to single it out.", body))
    parts.append(card(f"What it costs, {at} bits", f"Training on features that are computed already, one length; {head_of_each}.", cost(shown, at, names)))
    body = training(curves, names)
    if body:
        parts.append(card("How training went", "What each method reports, at all lengths (longer codes darker), first seed. Scales differ: a curve is compared with itself only.", body, "wide-card"))
    return f'<h2>{html.escape(SETS.get(data, data))}</h2><p class="soft">{html.escape(results.jobs[data, heads[0]][0])}</p><div class="cards">{"".join(parts)}</div>'


def page(results):
    tables = results.tables
    parts = []
    facts = []
    if tables:
        trained = sum(seeds for (_, head), cells in tables.items() if head != "better" for (_, _, measure), (_, _, seeds) in cells.items() if measure == "map")
        names = methods.in_order({m for cells in tables.values() for m, _, _ in cells})
        facts = [(len(names), "methods"), (len({d for d, _ in tables}), "sets of pictures"), (trained, "trainings"),
                 (f"{sum(s for (_, h), (_, s) in results.jobs.items() if h != 'better') / 60:.0f} min", "in all")]
        for head in [h for h in methods.HEADS if any(head == h for _, head in tables)]:
            body, gap = heat(tables, head)
            if "eddh" in gap:
                place = 1 + sum(g < gap["eddh"] for g in gap.values())
                facts.append((f"{place} of {len(gap)}", f"place of eddh by distance behind the best, {methods.HEADS[head]}"))
            parts.append(card(f"All in one view: {methods.HEADS[head]}", f"mAP. Colour: how near to the best of its column, none from {HEAT_RANGE} below it on; the best is framed.", body, "wide-card"))
    paper = "".join(f"<tr><td>{m}</td>" + "".join(f"<td>{x:.3f}</td>" for x in row) + "</tr>" for m, row in methods.PAPER.items())
    sections = "".join(section(data, results) for data in sorted({d for d, _ in tables})) + learning(results.labels)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hashing methods compared</title>
<style>{STYLE}</style>
<main>
<h1>Which hash is best on the same features?</h1>
<p class="soft">Every method learns from the same pictures, through the same frozen network (MobileNetV2, ImageNet, 1,280 numbers a picture), and is measured by the same function: mean average
precision (mAP) of pictures that training never saw, exact over ties. <code>adsh</code> stands in for SDAH, which could not be identified.</p>
<div class="facts">{"".join(f'<div class="fact"><b>{html.escape(str(n))}</b>{html.escape(text)}</div>' for n, text in facts)}</div>
{key()}
<div class="cards">{"".join(parts)}</div>
{sections}
<h2>The paper's table</h2>
<p class="soft">ImageNet-100, CNN-F, mAP@1000, as quoted to us: other pictures and another network, so only the order can be compared.</p>
<table class="plain"><tr><th>method</th><th>16</th><th>32</th><th>48</th><th>64</th></tr>{paper}</table>
<p class="soft">{html.escape("; ".join(results.run))}</p>
</main>
</html>
"""
