// On Airflow's dashboard: only what is read-only or needs a person. Nothing otherwise, nor for who may see no cluster.

import { stands, stateBadge, windowText } from "./cards.js";
import { h, route, style, to, useJson } from "./parts.js";

function Widget() {
  const { data } = useJson(route("clusters"), 60);
  const found = (data?.clusters ?? []).filter(stands);
  if (!found.length) return null;
  return h(
    "section",
    { className: "rp-widget", "aria-label": "Registry prune" },
    style(),
    h("h2", null, to("/plugin/registry-prune", "Registry prune")),
    ...found.map((card) =>
      h(
        "div",
        { key: card.dag_id, className: "rp-widget-row" },
        h("p", null, to(`/plugin/registry-prune?cluster=${encodeURIComponent(card.dag_id)}`, card.name), " ", stateBadge(card.registry)),
        windowText(card.registry, data.now),
        ...card.attention.map((text) => h("p", { key: text, className: "rp-problem" }, text)),
      ),
    ),
  );
}

globalThis["Registry prune: attention"] = Widget;
