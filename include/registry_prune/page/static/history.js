// One cluster over time: its plots, and its runs as a table with pages.

import { Plot, roundTicks } from "./plots.js";
import { badge, between, clusterRoute, count, day, h, here, nouns, problem, size, span, time, unitName, unitOf, useJson, useMemo, useState } from "./parts.js";

const COUNTS = [30, 100, 365, 1000];
const PER_PAGE = 15;

export function History({ dagId, name, pick }) {
  const [most, setMost] = useState(100);
  const { data, problem: wrong } = useJson(clusterRoute(dagId, "runs", { count: most }), 60);
  const runs = data?.runs ?? [];
  return h(
    "section",
    { className: "rp-history", "aria-label": `Runs of ${name}` },
    h(
      "div",
      { className: "rp-bar-of-choices" },
      h("h2", null, `Runs of ${name}`),
      h("label", null, "the last ", h("select", { value: most, onChange: (event) => setMost(Number(event.target.value)) }, ...COUNTS.map((each) => h("option", { key: each, value: each }, each)))),
    ),
    problem(wrong),
    ...(data?.notes ?? []).map((note) => h("p", { key: note, className: "rp-problem" }, note)),
    !data && !wrong ? h("p", { className: "rp-empty" }, "Loading …") : null,
    data && !runs.length ? h("p", { className: "rp-empty" }, "No run yet. Un-pause the DAG, or trigger it with dry_run_only to see what it would delete.") : null,
    runs.length ? h(Plots, { runs, limitSeconds: data.window_limit_seconds, pick }) : null,
    runs.length ? h(Table, { key: dagId, runs, dagId }) : null,
  );
}

function Plots({ runs, limitSeconds, pick }) {
  const oldestFirst = useMemo(() => [...runs].reverse(), [runs]);
  const told = (run) => [time(run.due_at), run.outcome, run.why].filter(Boolean).join("\n");
  const shared = { runs: oldestFirst, pick };
  const minutes = (run) => (run.read_only_seconds === null ? null : run.read_only_seconds / 60);
  return h(
    "div",
    { className: "rp-plots" },
    h(Plot, {
      ...shared,
      title: "Orphaned blobs",
      series: [
        { name: "found", mark: "outline", value: (run) => run.orphaned_blobs, text: (run) => count(run.orphaned_blobs) },
        { name: "deleted", mark: "bar", value: (run) => run.deleted_blobs, text: (run) => count(run.deleted_blobs) },
      ],
      axis: (top) => ({ ticks: roundTicks(top), label: short }),
      text: (run) => `${told(run)}\nfound ${count(run.orphaned_blobs)}, deleted ${count(run.deleted_blobs)}`,
    }),
    h(Plot, {
      ...shared,
      title: "Freed",
      series: [{ name: "freed", mark: "bar", value: (run) => run.freed_bytes, text: (run) => size(run.freed_bytes) }],
      axis: byteAxis,
      text: (run) => `${told(run)}\nfreed ${size(run.freed_bytes)}`,
    }),
    h(Plot, {
      ...shared,
      title: "Read-only minutes",
      series: [{ name: "read-only", mark: "bar", value: minutes, text: (run) => span(run.read_only_seconds) }],
      limit: limitSeconds ? { value: limitSeconds / 60, name: `limit, ${span(limitSeconds)}` } : null,
      axis: (top) => ({ ticks: roundTicks(top), label: (tick) => `${Number(tick.toPrecision(4))} min` }),
      text: (run) => `${told(run)}\nread-only for ${span(run.read_only_seconds)}`,
    }),
    h(Plot, {
      ...shared,
      title: "Backlog",
      series: [{ name: "blobs left to the next run", mark: "line", value: left, text: leftText }],
      axis: (top) => ({ ticks: roundTicks(top), label: short }),
      text: (run) => `${told(run)}\n${leftText(run)}`,
      note: slices(runs),
    }),
  );
}

function left(run) {
  if (run.left_blobs !== null) return run.left_blobs;
  return run.orphaned_blobs === null ? null : Math.max(run.orphaned_blobs - (run.deleted_blobs ?? 0), 0);
}

function leftText(run) {
  const more = run.slices_left ? `, ${nouns(run.slices_left, "more run")} at this rate` : "";
  return `${count(left(run))} left${more}`;
}

function slices(runs) {
  const newest = runs.find((run) => run.reported && run.left_blobs !== null);
  if (!newest || !newest.left_blobs) return null;
  return newest.slices_left
    ? `${count(newest.left_blobs)} blobs are left: ${nouns(newest.slices_left, "more slice")} at the rate of the last.`
    : `${count(newest.left_blobs)} blobs are left, and no number of slices like the last is enough.`;
}

function short(value) {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(4))} M`;
  return value >= 1e4 ? `${Number((value / 1e3).toPrecision(4))} k` : count(Number(value.toPrecision(4)));
}

function byteAxis(most) {
  const power = unitOf(most);
  const unit = 1024 ** power;
  return { ticks: roundTicks(most / unit).map((tick) => tick * unit), label: (tick) => `${Number((tick / unit).toPrecision(4))} ${unitName(power)}` };
}

function Table({ runs, dagId }) {
  const [page, setPage] = useState(0);
  const pages = Math.ceil(runs.length / PER_PAGE);
  const shown = Math.min(page, pages - 1);
  return h(
    "div",
    null,
    h(
      "div",
      { className: "rp-scroll" },
      h(
        "table",
        { className: "rp-table", "aria-label": "Runs" },
        h("thead", null, h("tr", null, ...["Due", "Outcome", "Why"].map((text) => h("th", { key: text }, text)), ...["Found", "Deleted", "Freed", "Read-only", "Took"].map((text) => h("th", { key: text, className: "rp-number" }, text)))),
        h("tbody", null, ...runs.slice(shown * PER_PAGE, (shown + 1) * PER_PAGE).map((run) => row(run, dagId))),
      ),
    ),
    pages > 1
      ? h(
          "p",
          { className: "rp-pages" },
          h("button", { type: "button", disabled: shown === 0, onClick: () => setPage(shown - 1) }, "← newer"),
          ` page ${shown + 1} of ${pages} `,
          h("button", { type: "button", disabled: shown === pages - 1, onClick: () => setPage(shown + 1) }, "older →"),
        )
      : null,
  );
}

function row(run, dagId) {
  const took = run.started_at && run.ended_at ? between(run.started_at, run.ended_at) : null;
  return h(
    "tr",
    { key: run.run_id },
    h("td", { className: "rp-when" }, here({ cluster: dagId, run: run.run_id }, time(run.due_at))),
    h("td", null, badge(run.tone, run.outcome)),
    h("td", { className: "rp-why", title: run.why }, run.failed_tasks.length ? `${run.failed_tasks.join(", ")}: ` : "", run.why),
    ...[count(run.orphaned_blobs), count(run.deleted_blobs), size(run.freed_bytes), span(run.read_only_seconds), span(took)].map((text, index) => h("td", { key: index, className: "rp-number" }, text)),
  );
}
