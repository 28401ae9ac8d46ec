// Plots of runs over time, drawn as SVG: bars or a line, an axis, a limit; the same figures as a table.

import { day, h, useId, useState } from "./parts.js";

const WIDTH = 640;
const HEIGHT = 210;
const LEFT = 58;
const RIGHT = 8;
const TOP = 12;
const BOTTOM = 30;
const MOST_BARS = 160;

/**
 * A plot.
 *
 * series: [{ name, mark: "bar" | "outline" | "line", value: (run) => number | null }]
 * axis(most): { ticks: [number], label: (number) => text }
 * limit: { value, name }, a line across; text(run): what is shown of one run when it is pointed at.
 * runs: the oldest first.
 */
export function Plot({ title, runs, series, axis, limit, text, pick, note }) {
  const [asTable, setAsTable] = useState(false);
  const hatch = useId();
  const groups = thinned(runs, series);
  const most = Math.max(limit ? limit.value : 0, ...groups.flatMap((group) => group.values.map((value) => value ?? 0)));
  const { ticks, label } = axis(most);
  const top = ticks[ticks.length - 1] || 1;
  const step = (WIDTH - LEFT - RIGHT) / Math.max(groups.length, 1);
  const x = (index) => LEFT + index * step;
  const y = (value) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * value) / top;
  const known = groups.some((group) => group.values.some((value) => value !== null));
  return h(
    "figure",
    { className: "rp-plot", "data-plot": title },
    h(
      "figcaption",
      null,
      h("strong", null, title),
      h("span", { className: "rp-legend" }, ...series.map((each, index) => legend(each, index, hatch)), limit && legendOfLimit(limit), groups.some((group) => group.bad) && legendOfFailed()),
      h("button", { type: "button", className: "rp-quiet-button", "aria-pressed": asTable, onClick: () => setAsTable(!asTable) }, asTable ? "as a plot" : "as a table"),
    ),
    asTable
      ? table({ runs, series, text, title })
      : known
        ? h(
            "svg",
            { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${runs.length} runs. The button beside the title shows the figures as a table.` },
            patterns(hatch),
            ...ticks.map((tick) =>
              h(
                "g",
                { key: tick },
                h("line", { className: "rp-grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
                h("text", { className: "rp-tick", x: LEFT - 6, y: y(tick) + 4, textAnchor: "end" }, label(tick)),
              ),
            ),
            ...series.flatMap((each, index) => marks(each, index, { groups, x, y, step, hatch })),
            limit && h("line", { className: "rp-limit", x1: LEFT, x2: WIDTH - RIGHT, y1: y(limit.value), y2: y(limit.value) }),
            ...groups.map((group, index) => (group.bad ? cross(x(index) + step / 2, HEIGHT - BOTTOM + 6, index) : null)),
            ...dates(groups, x, step),
            ...groups.map((group, index) =>
              h(
                "rect",
                { key: `hit${index}`, className: "rp-hit", x: x(index), y: TOP, width: step, height: HEIGHT - TOP - BOTTOM, onClick: () => pick(group.runs[group.runs.length - 1]) },
                h("title", null, told(group, text)),
              ),
            ),
          )
        : h("p", { className: "rp-empty" }, "Nothing to plot yet."),
    note ? h("p", { className: "rp-note" }, note) : null,
  );
}

/** Runs in groups, so that no more bars are drawn than can be told apart; of a group the largest figure is drawn. */
export function thinned(runs, series, most = MOST_BARS) {
  const size = Math.ceil(runs.length / most) || 1;
  const groups = [];
  for (let first = 0; first < runs.length; first += size) {
    const members = runs.slice(first, first + size);
    const values = series.map((each) => {
      const found = members.map(each.value).filter((value) => value !== null && value !== undefined);
      return found.length ? Math.max(...found) : null;
    });
    groups.push({ runs: members, values, bad: members.some((run) => run.tone === "bad") });
  }
  return groups;
}

/** Ticks from 0 to at least `most`, at round numbers. */
export function roundTicks(most, wanted = 4) {
  if (!(most > 0)) return [0, 1];
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const ticks = [];
  for (let tick = 0; tick < most + step * 0.999; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

function marks(each, index, { groups, x, y, step, hatch }) {
  const width = Math.max(step * (each.mark === "outline" ? 0.76 : 0.46), 0.8);
  if (each.mark === "line") {
    const points = groups.map((group, at) => [x(at) + step / 2, group.values[index]]).filter((point) => point[1] !== null);
    return [
      h("polyline", { key: `line${index}`, className: "rp-line", points: points.map(([left, value]) => `${left},${y(value)}`).join(" ") }),
      ...(points.length > 60 ? [] : points.map(([left, value]) => h("circle", { key: `point${left}`, className: "rp-point", cx: left, cy: y(value), r: 3 }))),
    ];
  }
  return groups.map((group, at) => {
    const value = group.values[index];
    if (value === null || value === 0) return null;
    return h("rect", {
      key: `bar${index}-${at}`,
      className: each.mark === "outline" ? "rp-outline" : "rp-bar",
      fill: each.mark === "outline" ? `url(#${hatch})` : undefined,
      x: x(at) + (step - width) / 2,
      width,
      y: Math.min(y(value), y(0) - 1),
      height: Math.max(y(0) - y(value), 1),
    });
  });
}

function patterns(id) {
  return h(
    "defs",
    null,
    h("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, h("line", { className: "rp-hatch", x1: 0, x2: 0, y1: 0, y2: 5 })),
  );
}

function cross(left, top, key) {
  return h("path", { key: `bad${key}`, className: "rp-cross", d: `M${left - 3},${top - 3}l6,6m0,-6l-6,6` });
}

function dates(groups, x, step) {
  if (!groups.length) return [];
  const last = groups.length - 1;
  const at = last > 3 ? [0, Math.round(last / 2), last] : last > 0 ? [0, last] : [0];
  return at.map((index, place) =>
    h(
      "text",
      {
        key: `date${index}`,
        className: "rp-tick",
        x: place === 0 ? LEFT : place === at.length - 1 ? WIDTH - RIGHT : x(index) + step / 2,
        y: HEIGHT - 5,
        textAnchor: place === 0 ? "start" : place === at.length - 1 ? "end" : "middle",
      },
      day(groups[index].runs[0].due_at),
    ),
  );
}

function legend(each, index, hatch) {
  const swatch =
    each.mark === "line"
      ? h("line", { className: "rp-line", x1: 0, x2: 14, y1: 6, y2: 6 })
      : h("rect", { className: each.mark === "outline" ? "rp-outline" : "rp-bar", fill: each.mark === "outline" ? `url(#${hatch})` : undefined, x: 2, y: 1, width: 10, height: 10 });
  return h("span", { key: index }, h("svg", { viewBox: "0 0 14 12", className: "rp-swatch", "aria-hidden": true }, swatch), each.name);
}

function legendOfLimit(limit) {
  return h("span", { key: "limit" }, h("svg", { viewBox: "0 0 14 12", className: "rp-swatch", "aria-hidden": true }, h("line", { className: "rp-limit", x1: 0, x2: 14, y1: 6, y2: 6 })), limit.name);
}

function legendOfFailed() {
  return h("span", { key: "failed" }, h("svg", { viewBox: "0 0 14 12", className: "rp-swatch", "aria-hidden": true }, cross(7, 6, "legend")), "failed");
}

function told(group, text) {
  const run = group.runs[group.runs.length - 1];
  return group.runs.length === 1 ? text(run) : `The most of ${group.runs.length} runs. The last of them: ${text(run)}`;
}

function table({ runs, series, title }) {
  return h(
    "div",
    { className: "rp-scroll" },
    h(
      "table",
      { className: "rp-table", "aria-label": title },
      h("thead", null, h("tr", null, h("th", null, "Run"), ...series.map((each) => h("th", { key: each.name, className: "rp-number" }, each.name)))),
      h(
        "tbody",
        null,
        ...[...runs].reverse().map((run) =>
          h("tr", { key: run.run_id }, h("th", { scope: "row" }, day(run.due_at)), ...series.map((each) => h("td", { key: each.name, className: "rp-number" }, each.text(run)))),
        ),
      ),
    ),
  );
}
