// A card for each cluster, and the registry's state in words.

import { ago, badge, between, count, h, here, runPage, size, span, time, to } from "./parts.js";

export function stateBadge(registry) {
  if (registry.state === "takes pushes") return badge("good", "takes pushes");
  if (registry.state === "read-only") return badge(registry.overdue || !registry.by ? "bad" : "busy", "read-only");
  return badge("quiet", "not known");
}

/** Since when, by whom, until when: of a registry that is read-only. */
export function windowText(registry, now) {
  if (registry.state !== "read-only") return null;
  const [dagId, ...rest] = registry.by.split("/");
  const runId = rest.join("/");
  return h(
    "p",
    null,
    registry.since ? `Read-only since ${time(registry.since)} (${span(between(registry.since, now))})` : "Read-only",
    registry.by ? h("span", null, ", by run ", to(runPage(dagId, runId), runId)) : ". No run of this project opened it",
    ". ",
    registry.must_end_by ? h("strong", null, `It must end by ${time(registry.must_end_by)} (${ago(registry.must_end_by, now)}).`) : null,
  );
}

/** Whether somebody should look at it. */
export function stands(card) {
  return card.registry.state === "read-only" || card.attention.length > 0;
}

export function Card({ card, now, chosen }) {
  const { registry, last_prune: prune, last } = card;
  return h(
    "article",
    { className: `rp-card${chosen ? " rp-chosen" : ""}`, "data-cluster": card.name, "aria-current": chosen ? "true" : undefined },
    h("header", null, h("h2", null, here({ cluster: card.dag_id }, card.name)), stateBadge(registry)),
    windowText(registry, now),
    registry.state === "not known" || (registry.state === "read-only" && !registry.by) ? h("p", { className: "rp-note" }, registry.text) : null,
    ...card.attention.map((text) => h("p", { key: text, className: "rp-problem" }, text)),
    h(
      "dl",
      null,
      ...entry("Last prune", prune ? h("span", null, here({ cluster: card.dag_id, run: prune.run_id }, time(prune.due_at)), `: ${count(prune.deleted_blobs)} blobs, ${size(prune.freed_bytes)}, read-only for ${span(prune.read_only_seconds)}`) : "none in the last ten runs"),
      ...(last && last !== prune && last.run_id !== prune?.run_id ? entry("Last run", h("span", null, here({ cluster: card.dag_id, run: last.run_id }, time(last.due_at)), " ", badge(last.tone, last.outcome))) : []),
      ...(card.running ? entry("At work", here({ cluster: card.dag_id, run: card.running.run_id }, card.running.run_id)) : []),
      ...entry("Next run", card.paused ? "none: the DAG is paused" : card.next_run_at ? `${time(card.next_run_at)} (${ago(card.next_run_at, now)})` : "when somebody triggers it"),
      ...entry("Guard", guardText(card, now)),
    ),
    card.notes.length ? h("p", { className: "rp-note" }, "Something of it cannot be shown: see its runs.") : null,
  );
}

function guardText(card, now) {
  if (!card.guard_dag_id) return "its rounds are not yours to see";
  if (card.guard_paused) return badge("bad", "paused: nobody closes a window whose run is gone");
  const known = card.guard_looked_at ? `looked ${ago(card.guard_looked_at, now)}` : "has not looked for a day";
  return h("span", null, to(`/dags/${encodeURIComponent(card.guard_dag_id)}`, known), card.guard_failing ? h("span", null, " ", badge("bad", "its last round failed")) : null);
}

function entry(label, content) {
  return [h("dt", { key: `${label}:` }, label), h("dd", { key: label }, content)];
}
