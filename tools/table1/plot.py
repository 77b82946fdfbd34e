"""Line plots as inline SVG: colours come from the page's style, by family of method; names stand at the ends of the lines."""
import html
import math


def number(value):
    return f"{value:.1f}".rstrip("0").rstrip(".")


def nice_ticks(low, high, about=5):
    """Round numbers from low to high."""
    rough = (high - low) / about or 1
    base = 10 ** math.floor(math.log10(rough))
    step = next(base * m for m in (1, 2, 2.5, 5, 10) if base * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value):
    return f"{value:.10g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.0e}"


def spread(wanted, gap, low, high):
    """Places for labels, in the order of `wanted` heights, at least `gap` apart and within low..high where they fit."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups = []  # [sum of wanted starts, labels]
    for i in order:
        groups.append([wanted[i], 1])
        while len(groups) > 1:
            (above, a), (below, b) = groups[-2:]
            if above / a + a * gap <= below / b:
                break
            groups[-2:] = [[above + below - b * a * gap, a + b]]
    places, at = [0.0] * len(wanted), 0
    floor = low
    for index, (total, count) in enumerate(groups):
        rest = sum(c for _, c in groups[index:])
        start = max(floor, min(total / count, high - gap * (rest - 1)))
        for i in range(count):
            places[order[at]] = start + i * gap
            at += 1
        floor = start + count * gap
    return places


class Axes:
    """A frame with scales: x and y are pairs (low, high); log_x where x is a count that doubles."""

    def __init__(self, x, y, width=560, height=340, left=46, right=118, top=22, bottom=40, log_x=False):
        self.x_range, self.y_range, self.log_x = x, y, log_x
        self.width, self.height = width, height
        self.left, self.right, self.top, self.bottom = left, width - right, top, height - bottom

    def x(self, value):
        low, high = self.x_range
        if self.log_x:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.left + (self.right - self.left) * ((value - low) / (high - low) if high > low else 0.5)

    def y(self, value):
        low, high = self.y_range
        return self.bottom - (self.bottom - self.top) * ((value - low) / (high - low) if high > low else 0.5)

    def points(self, line):
        return " ".join(f"{number(self.x(p[0]))},{number(self.y(p[1]))}" for p in line)

    def grid(self, x_ticks, x_name, y_name):
        out = []
        for v in nice_ticks(*self.y_range):
            y = number(self.y(v))
            out.append(f'<line class="grid" x1="{self.left}" x2="{number(self.right)}" y1="{y}" y2="{y}"/><text x="{self.left - 7}" y="{y}" dy=".32em" text-anchor="end">{tick_text(v)}</text>')
        for v, text in x_ticks:
            x = number(self.x(v))
            out.append(f'<line class="tick" x1="{x}" x2="{x}" y1="{self.bottom}" y2="{self.bottom + 4}"/><text x="{x}" y="{self.bottom + 17}" text-anchor="middle">{text}</text>')
        out.append(f'<line class="axis" x1="{self.left}" x2="{number(self.right)}" y1="{self.bottom}" y2="{self.bottom}"/>')
        out.append(f'<text class="name" x="{number((self.left + self.right) / 2)}" y="{self.height - 5}" text-anchor="middle">{html.escape(x_name)}</text>')
        out.append(f'<text class="name" x="{self.left - 38}" y="{self.top - 10}">{html.escape(y_name)}</text>')
        return "".join(out)

    def svg(self, title, body):
        return f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{html.escape(title)}">{body}</svg>'


def lines(axes, series, note, order=None):
    """
    series: (name, css class, [(x, y, deviation)]), drawn in order, the last on top. note(point) is the tooltip of a point. A line's name stands at its end, with a
    thin leader where others are in the way; or, where all lines end in one place, in a column by `order`: name -> a number, the highest first.
    """
    ends = [axes.y(line[-1][1]) for _, _, line in series]
    if order:
        ranks = sorted(order, key=lambda name: -order[name])
        places = [axes.top + 6 + 17 * ranks.index(name) for name, _, _ in series]
    else:
        places = spread(ends, 13, axes.top + 4, axes.bottom - 2)
    out = []
    for (name, css, line), end, place in zip(series, ends, places):
        band = [(x, y + d) for x, y, d in line] + [(x, y - d) for x, y, d in reversed(line)]
        body = f'<polygon class="band" points="{axes.points(band)}"/>' if any(d for _, _, d in line) else ""
        body += f'<polyline class="wide" points="{axes.points(line)}"/><polyline class="line" points="{axes.points(line)}"/>'
        if len(line) <= 12:
            body += "".join(f'<circle cx="{number(axes.x(p[0]))}" cy="{number(axes.y(p[1]))}" r="3"><title>{html.escape(name + ", " + note(p))}</title></circle>' for p in line)
        x = axes.x(line[-1][0])
        text = f"{name} {order[name]:.3f}" if order else name
        body += "" if order else f'<polyline class="leader" points="{number(x + 4)},{number(end)} {number(axes.right + 8)},{number(place)} {number(axes.right + 12)},{number(place)}"/>'
        body += f'<text class="label" x="{number(axes.right + 15)}" y="{number(place)}" dy=".34em">{html.escape(text)}</text>'
        out.append(f'<g class="series {css}">{body}</g>')
    return "".join(out)


def scatter(axes, points, note):
    """points: (name, css class, x, y); names beside them, above one another where they would cover each other."""
    out = []
    taken = [(axes.x(x) - 5, axes.x(x) + 5, axes.y(y)) for _, _, x, y in points]  # boxes of dots and labels
    for name, css, x, y in sorted(points, key=lambda p: -p[3]):
        cx, cy = axes.x(x), axes.y(y)
        width = 7 * len(name) + 4
        left = cx + 8 if cx + 8 + width < axes.width else cx - 8 - width
        for step in range(40):
            place = cy + 6 * (step // 2 + step % 2) * (1 if step % 2 else -1)
            if all(abs(place - b) >= 12 or left > r or left + width < l for l, r, b in taken):
                break
        taken.append((left, left + width, place))
        leader = f'<polyline class="leader" points="{number(cx)},{number(cy)} {number(left - 2 if left > cx else left + width)},{number(place)}"/>' if abs(place - cy) > 6 else ""
        out.append(f'<g class="series {css}">{leader}<circle cx="{number(cx)}" cy="{number(cy)}" r="4.5"><title>{html.escape(name + ", " + note((x, y)))}</title></circle>'
                   f'<text class="label" x="{number(left)}" y="{number(place)}" dy=".34em">{html.escape(name)}</text></g>')
    return "".join(out)
