// One run: its verdict with figures, its tasks on a time line, its lists, and how far a delete is.

import { windowText } from "./cards.js";
import { ago, badge, between, clock, clusterRoute, count, h, here, nouns, problem, runPage, size, span, time, to, useJson } from "./parts.js";

const DELETE = "hard_prune";
const AT_WORK = ["running", "deferred"];
const whileItWorks = (data) => (data && data.detail.run.tone !== "busy" ? 0 : 5);

export function Run({ dagId, runId, card }) {
  const { data, problem: wrong } = useJson(clusterRoute(dagId, "run", { run_id: runId }), whileItWorks);
  if (!data) return h("section", null, problem(wrong), wrong ? null : h("p", { className: "rp-empty" }, "Loading …"));
  const { detail, tasks, now } = data;
  const { run } = detail;
  const deleting = tasks.some((task) => task.task_id === DELETE && AT_WORK.includes(task.state));
  return h(
    "section",
    { className: "rp-run", "aria-label": `Run ${run.run_id}` },
    h("p", null, here({ cluster: dagId }, "← all runs")),
    h("div", { className: "rp-title" }, h("h2", null, run.run_id), badge(run.tone, run.outcome)),
    h(
      "p",
      { className: "rp-note" },
      `Due ${time(run.due_at)}`,
      run.started_at && run.ended_at ? `, took ${span(between(run.started_at, run.ended_at))}` : "",
      run.in_airflow ? h("span", null, ". ", to(runPage(dagId, run.run_id), "Its page in Airflow")) : ". Airflow has forgotten it; this is what it kept.",
    ),
    problem(wrong),
    card && card.registry.by === `${dagId}/${run.run_id}` ? windowText(card.registry, now) : null,
    deleting ? h(Progress, { dagId, runId }) : null,
    run.reported ? tiles(detail) : null,
    timeLine({ data, dagId }),
    h("h3", null, "Report"),
    lines(detail.lines),
    detail.unread ? h("pre", { className: "rp-unread" }, detail.unread) : null,
    lists({ data, dagId }),
  );
}

function tiles({ run, broken_before: before, broken_after: after, builds_hit: hit, builds_hit_names: names }) {
  const broken = before === null && after === null ? "not looked at" : `${count(before)} before, ${count(after)} after`;
  return h(
    "div",
    { className: "rp-tiles" },
    tile("Orphans found", count(run.orphaned_blobs), size(run.orphaned_bytes)),
    tile("Deleted", count(run.deleted_blobs), `freed ${size(run.freed_bytes)}`),
    tile("Read-only", span(run.read_only_seconds), run.read_only_seconds === 0 ? "pushes were always taken" : ""),
    tile("Broken images", broken, after !== null && before !== null && after > before ? "MORE THAN BEFORE" : ""),
    tile("Builds hit", hit === null ? "not looked at" : count(hit), names.join(", ")),
  );
}

function tile(label, figure, more) {
  return h("div", { className: "rp-tile", key: label }, h("span", { className: "rp-note" }, label), h("strong", null, figure), h("span", { className: "rp-note" }, more));
}

/** How far the delete is; asked for every two seconds. */
function Progress({ dagId, runId }) {
  const { data, problem: wrong } = useJson(clusterRoute(dagId, "progress", { run_id: runId }), 2);
  if (!data) return h("p", { className: "rp-note" }, wrong ?? "The delete works; how far it is has not been told yet.");
  const { blobs, expected_blobs: expected, blobs_per_second: rate, ends_by: endsBy, at } = data;
  const left = expected === null ? null : Math.max(expected - blobs, 0);
  const seconds = left !== null && rate > 0 ? left / rate : null;
  const until = endsBy ? between(at, endsBy) : null;
  const slice = seconds !== null && until !== null && seconds > until;
  return h(
    "div",
    { className: "rp-progress", role: "status", "data-blobs": blobs },
    h("p", null, h("strong", null, `Deleting: ${count(blobs)}${expected === null ? "" : ` of ${count(expected)}`} blobs`), expected ? ` (${Math.min(Math.floor((100 * blobs) / expected), 100)} %)` : "", rate > 0 ? `, ${count(Math.round(rate))} a second` : ""),
    h("progress", expected ? { max: expected, value: Math.min(blobs, expected), "aria-label": "Deleted blobs" } : { "aria-label": "Deleted blobs" }),
    h(
      "p",
      { className: "rp-note" },
      slice ? `A slice: about ${count(Math.min(blobs + Math.floor(rate * until), expected))} blobs by the window's end, the rest is the next run's.` : seconds !== null ? `Done in about ${span(seconds)}.` : "It scans the storage before the first blob.",
      endsBy ? ` It is ended at ${clock(endsBy)} UTC, whatever is left then.` : "",
      ` As of ${clock(at)} UTC.`,
    ),
  );
}

function timeLine({ data, dagId }) {
  const { detail, now } = data;
  const { run } = detail;
  const tasks = data.tasks.filter((task) => task.started_at);
  if (!tasks.length) return detail.phases.length ? phases(detail.phases) : null;
  const end = (task) => task.ended_at ?? now;
  const from = Math.min(...tasks.map((task) => new Date(task.started_at)));
  const until = Math.max(...tasks.map((task) => new Date(end(task))), from + 1000);
  const place = (moment) => (100 * (new Date(moment) - from)) / (until - from);
  const window = windowOf(data.tasks, now);
  const due = data.must_end_by && place(data.must_end_by) <= 100 ? place(data.must_end_by) : null;
  const later = data.tasks.filter((task) => !task.started_at && !["skipped", "upstream_failed", "removed"].includes(task.state));
  return h(
    "div",
    null,
    h("h3", null, "Tasks"),
    h(
      "p",
      { className: "rp-note" },
      `${time(from)} to ${clock(until)} UTC. `,
      window ? h("span", null, h("span", { className: "rp-window-swatch", "aria-hidden": true }), ` read-only window, ${clock(window.from)} to ${window.open ? "now" : clock(window.until)} UTC (${span(between(window.from, window.until))}).`) : "No read-only window.",
      data.must_end_by ? ` It ${window?.open ? "must" : "had to"} end by ${clock(data.must_end_by)} UTC${due === null ? "" : ", the dashed line"}.` : "",
    ),
    h(
      "ol",
      { className: "rp-times", "aria-label": "Tasks of the run" },
      ...tasks.map((task) =>
        h(
          "li",
          { key: task.task_id },
          h("span", { className: "rp-task" }, to(`${runPage(dagId, run.run_id)}/tasks/${encodeURIComponent(task.task_id)}`, task.task_id)),
          h(
            "span",
            { className: "rp-track", title: `${task.task_id}: ${clock(task.started_at)} to ${task.ended_at ? clock(task.ended_at) : "now"} UTC` },
            window ? h("span", { className: "rp-window", style: { left: `${place(window.from)}%`, width: `${place(window.until) - place(window.from)}%` } }) : null,
            due === null ? null : h("span", { className: "rp-due", style: { left: `${due}%` } }),
            h("span", { className: `rp-time rp-time-${task.state}`, style: { left: `min(${place(task.started_at)}%, 100% - 3px)`, width: `max(3px, ${place(end(task)) - place(task.started_at)}%)` } }),
          ),
          h("span", { className: "rp-took" }, span(between(task.started_at, end(task))), task.state === "success" ? "" : ` ${task.state}`, task.try_number > 1 ? `, try ${task.try_number}` : ""),
        ),
      ),
    ),
    run.tone === "busy" && later.length ? h("p", { className: "rp-note" }, `Still to come: ${later.map((task) => task.task_id).join(", ")}.`) : null,
  );
}

function windowOf(tasks, now) {
  const by = Object.fromEntries(tasks.map((task) => [task.task_id, task]));
  const [opening, closing] = [by.set_read_only, by.restore_read_write];
  if (!opening?.started_at || opening.state === "skipped") return null;
  const open = !closing?.ended_at;
  return { from: opening.started_at, until: open ? now : closing.ended_at, open };
}

function phases(found) {
  const longest = Math.max(...found.map(([, seconds]) => seconds), 1);
  return h(
    "div",
    null,
    h("h3", null, "Tasks"),
    h("p", { className: "rp-note" }, "How long each took, in all its tries; when it began is forgotten."),
    h("ol", { className: "rp-times" }, ...found.map(([task, seconds]) => h("li", { key: task }, h("span", { className: "rp-task" }, task), h("span", { className: "rp-track" }, h("span", { className: "rp-time", style: { left: 0, width: `max(3px, ${(100 * seconds) / longest}%)` } })), h("span", { className: "rp-took" }, span(seconds))))),
  );
}

function lines(found) {
  return h("dl", { className: "rp-lines" }, ...found.flatMap(([label, text], index) => [index === 0 || found[index - 1][0] !== label ? h("dt", { key: `t${index}` }, label) : null, h("dd", { key: `d${index}` }, text)]));
}

function lists({ data, dagId }) {
  const runId = data.detail.run.run_id;
  return h(
    "div",
    null,
    h("h3", null, "Lists"),
    problem(data.lists_problem),
    data.lists.length
      ? h("ul", { className: "rp-lists" }, ...data.lists.map((list) => h("li", { key: list.name }, h("a", { className: "rp-link", href: clusterRoute(dagId, "list", { run_id: runId, name: list.name }), download: "" }, `↓ ${list.title}`), `: ${content(list.counts)}`, list.problem ? h("span", { className: "rp-problem" }, ` ${list.problem}`) : null)))
      : data.lists_problem ? null : h("p", { className: "rp-note" }, "None was kept, or it is older than lists are kept."),
  );
}

function content(counts) {
  const found = Object.entries(counts).filter(([, number]) => number);
  return found.length ? found.map(([kind, number]) => (number === 1 ? `1 ${kind}` : kind.endsWith("y") ? `${count(number)} ${kind.slice(0, -1)}ies` : nouns(number, kind))).join(", ") : "empty";
}
