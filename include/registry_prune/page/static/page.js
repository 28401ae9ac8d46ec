// The page "Registry prune" in Airflow's UI. Airflow loads this module and shows the component that it leaves behind.

import { Card, stands } from "./cards.js";
import { History } from "./history.js";
import { Run } from "./run.js";
import { h, problem, route, style, useJson, useState } from "./parts.js";

const { useSearchParams } = globalThis.ReactRouterDOM;
const MANY = 8;
// The cards of 200 clusters take the api-server a second of CPU.
const lessOftenForMany = (data) => (data && data.clusters.length > 20 ? 60 : 15);

function Page() {
  const [address, setAddress] = useSearchParams();
  const { data, problem: wrong } = useJson(route("clusters"), lessOftenForMany);
  // What somebody should look at comes first.
  const clusters = [...(data?.clusters ?? [])].sort((a, b) => stands(b) - stands(a));
  const chosen = clusters.find((card) => card.dag_id === address.get("cluster")) ?? clusters[0];
  const runId = address.get("run");
  return h(
    "div",
    { className: "rp-page" },
    style(),
    h(
      "main",
      null,
      h("h1", null, "Registry prune"),
      problem(wrong),
      !data && !wrong ? h("p", { className: "rp-empty" }, "Loading …") : null,
      data && !clusters.length ? h("p", { className: "rp-empty" }, "Airflow knows no DAG of this project yet, or none that you may read.") : null,
      chosen && !runId ? h(Cards, { clusters, chosen, now: data.now }) : null,
      chosen && clusters.length > 1 ? chooser({ clusters, chosen, choose: (dagId) => setAddress({ cluster: dagId }) }) : null,
      chosen && runId ? h(Run, { key: runId, dagId: chosen.dag_id, runId, card: chosen }) : null,
      chosen && !runId ? h(History, { key: chosen.dag_id, dagId: chosen.dag_id, name: chosen.name, pick: (run) => setAddress({ cluster: chosen.dag_id, run: run.run_id }) }) : null,
    ),
  );
}

function Cards({ clusters, chosen, now }) {
  const [wanted, setWanted] = useState("");
  const shown = clusters.filter((card) => card.name.includes(wanted.trim()));
  return h(
    "div",
    null,
    clusters.length > MANY ? h("label", { className: "rp-search" }, "Clusters with ", h("input", { type: "search", value: wanted, onChange: (event) => setWanted(event.target.value) }), " in their name") : null,
    h("div", { className: `rp-cards${clusters.length > MANY ? " rp-many" : ""}` }, ...shown.map((card) => h(Card, { key: card.dag_id, card, now, chosen: card === chosen }))),
  );
}

function chooser({ clusters, chosen, choose }) {
  return h("label", { className: "rp-search" }, "Cluster ", h("select", { value: chosen.dag_id, onChange: (event) => choose(event.target.value) }, ...clusters.map((card) => h("option", { key: card.dag_id, value: card.dag_id }, card.name))));
}

globalThis["Registry prune"] = Page;
