// What every part of the page uses: React, which is Airflow's own, the JSON, links, and figures for people.

export const { createElement: h, Fragment, useEffect, useId, useMemo, useState } = globalThis.React;
const { Link } = globalThis.ReactRouterDOM;

const ROUTES = new URL("../", import.meta.url);
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const NOT_KNOWN = "–";

/** The address of one of the page's own routes. */
export function route(path, parameters = {}) {
  const url = new URL(path, ROUTES);
  Object.entries(parameters).forEach(([name, value]) => url.searchParams.set(name, value));
  return url.href;
}

export function clusterRoute(dagId, what, parameters) {
  return route(`clusters/${encodeURIComponent(dagId)}/${what}`, parameters);
}

/**
 * JSON from a route: `{ data, problem }`. Asked for again after so many seconds while somebody looks; 0: once; a function
 * (always the same one) is asked with what came.
 */
export function useJson(url, everySeconds = 0) {
  const [answer, setAnswer] = useState({});
  useEffect(() => {
    if (!url) return setAnswer({});
    const ended = new AbortController();
    let timer;
    let came;
    const ask = async () => {
      if (!document.hidden) {
        try {
          came = await fetched(url, ended.signal);
          if (!ended.signal.aborted) setAnswer({ url, data: came });
        } catch (error) {
          // What was known stays on the page, beside what is wrong now.
          if (!ended.signal.aborted) setAnswer((before) => ({ ...(before.url === url ? before : {}), url, problem: error.message }));
        }
      }
      const seconds = typeof everySeconds === "function" ? everySeconds(came) : everySeconds;
      if (seconds && !ended.signal.aborted) timer = setTimeout(ask, seconds * 1000);
    };
    ask();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [url, everySeconds]);
  return answer.url === url ? answer : {};
}

async function fetched(url, signal) {
  const response = await fetch(url, { signal, headers: { Accept: "application/json" } });
  if (response.ok) return response.json();
  if (response.status === 401) throw new Error("Your login has ended. Load the page again.");
  const said = await response.json().catch(() => ({}));
  throw new Error(typeof said.detail === "string" ? said.detail : `Airflow answered ${response.status}.`);
}

export function runPage(dagId, runId) {
  return `/dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`;
}

export function to(address, ...content) {
  return h(Link, { to: address, className: "rp-link" }, ...content);
}

/** A link within the page: it keeps what it shows in its address. */
export function here(parameters, ...content) {
  return h(Link, { to: { search: `?${new URLSearchParams(parameters)}` }, className: "rp-link" }, ...content);
}

const SIGNS = { good: "✓", bad: "✕", busy: "▶", quiet: "–" };

/** A word in a frame, with a sign, so that it can be told without colours. */
export function badge(tone, text) {
  return h("span", { className: `rp-badge rp-${tone}` }, h("span", { "aria-hidden": true }, SIGNS[tone], " "), text);
}

export function problem(text) {
  return text ? h("p", { className: "rp-problem", role: "alert" }, text) : null;
}

export function count(value) {
  return value === null || value === undefined ? NOT_KNOWN : value.toLocaleString("en");
}

export function nouns(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return NOT_KNOWN;
  const power = unitOf(bytes);
  return `${Number((bytes / 1024 ** power).toPrecision(4))} ${UNITS[power]}`;
}

export function unitOf(bytes) {
  return bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
}

export function unitName(power) {
  return UNITS[power];
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return NOT_KNOWN;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} days`;
}

export function time(moment) {
  return moment ? `${new Date(moment).toISOString().slice(0, 16).replace("T", " ")} UTC` : NOT_KNOWN;
}

export function clock(moment) {
  return moment ? `${new Date(moment).toISOString().slice(11, 19)}` : NOT_KNOWN;
}

export function day(moment) {
  return moment ? new Date(moment).toISOString().slice(0, 10) : "";
}

/** From one moment to a later one, in seconds. */
export function between(from, until) {
  return (new Date(until) - new Date(from)) / 1000;
}

/** `3 min ago`, or `in 3 min`. */
export function ago(moment, now) {
  if (!moment) return NOT_KNOWN;
  const seconds = between(moment, now);
  return seconds >= 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

/** The page's style; React waits for it before it shows what comes with it. */
export function style() {
  return h("link", { rel: "stylesheet", href: new URL("./page.css", import.meta.url).href, precedence: "default" });
}
