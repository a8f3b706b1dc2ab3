"use strict";

const root = document.body.dataset.root;
const rows = document.getElementById("rows");
const live = document.getElementById("live");
const pause = document.getElementById("pause");
const missed = document.getElementById("missed");
const keep = 120; // rows of the timeline

function put(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

// setValues writes the texts that have a name.
function setValues(values) {
  for (const [name, text] of Object.entries(values)) {
    for (const place of document.querySelectorAll(`[data-v="${name}"]`)) {
      put(place, text);
      place.toggleAttribute("data-zero", text === "0");
    }
  }
}

// setParts replaces parts of the page, except one in which the focus is.
function setParts(parts) {
  for (const [name, html] of Object.entries(parts)) {
    const part = document.querySelector(`[data-part="${name}"]`);
    if (part && !part.contains(document.activeElement)) part.innerHTML = html;
  }
}

function readable(ms) {
  if (ms < 1000) return `${ms} ms`;
  return ms < 60000 ? `${ms / 1000} s` : `${ms / 60000} min`;
}

// rescale gives all rows the scale of the one that needs the most.
function rescale() {
  let scale = 1;
  for (const row of rows.children) scale = Math.max(scale, Number(row.dataset.own ?? row.dataset.scale));
  for (const bars of rows.querySelectorAll("svg.bars")) bars.setAttribute("viewBox", `0 0 ${scale} 12`);
  put(document.getElementById("scale"), readable(scale));
  document.getElementById("axis").hidden = rows.children.length === 0;
  document.getElementById("empty").hidden = rows.children.length > 0;
}

// open reports whether the details of a row are shown, or the row has the focus.
function open(row) {
  return row.querySelector(".details") || row.contains(document.activeElement);
}

function addRows(list, all) {
  if (all) {
    for (const row of [...rows.children]) if (!open(row)) row.remove();
  }
  const fresh = document.createElement("template");
  fresh.innerHTML = list.join("");
  for (const row of [...fresh.content.children].reverse()) {
    if (document.getElementById(row.id)) continue;
    enhance(row);
    if (!all) row.classList.add("fresh");
    rows.prepend(row);
  }
  // Troubled rows stay longer than others.
  const calm = [...rows.children].filter((row) => !open(row) && !row.matches(".failed, .troubled"));
  for (const row of calm.slice(keep / 2)) row.remove();
  while (rows.children.length > keep) {
    const last = [...rows.children].reverse().find((row) => !open(row));
    if (!last) break;
    last.remove();
  }
  rescale();
}

// enhance makes the link of a row a button that shows the details below it.
function enhance(row) {
  const link = row.querySelector("a");
  link.setAttribute("role", "button");
  link.setAttribute("aria-expanded", "false");
}

async function toggle(link) {
  const row = link.parentElement;
  const shown = row.querySelector(".details");
  link.setAttribute("aria-expanded", shown ? "false" : "true");
  if (shown) return shown.remove();
  const response = await fetch(link.href, { headers: { Accept: "text/x-part" } });
  const box = document.createElement("div");
  if (response.ok) box.innerHTML = await response.text();
  else box.innerHTML = '<div class="details"><p class="error">The inspector does not keep this request any more.</p></div>';
  if (!row.querySelector(".details")) row.append(box.firstElementChild);
}

rows.addEventListener("click", (event) => {
  const link = event.target.closest("a[role=button]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  toggle(link);
});

rows.addEventListener("keydown", (event) => {
  const link = event.target.closest("a[role=button]");
  if (!link) return;
  const visible = [...rows.querySelectorAll("a[role=button]")].filter((a) => a.offsetParent);
  const at = visible.indexOf(link);
  if (event.key === " ") toggle(link);
  else if (event.key === "ArrowDown") visible[at + 1]?.focus();
  else if (event.key === "ArrowUp") visible[at - 1]?.focus();
  else if (event.key === "Escape" && link.parentElement.querySelector(".details")) toggle(link);
  else return;
  event.preventDefault();
});

// The two buttons that choose what the timeline shows.
const all = document.getElementById("all");
const only = document.getElementById("only");
function choose(button) {
  for (const b of [all, only]) b.setAttribute("aria-pressed", String(b === button));
  rows.classList.toggle("only", button === only);
}
all.addEventListener("click", () => choose(all));
only.addEventListener("click", () => choose(only));

let source = null;
let paused = false;

function say(text, on) {
  put(live, text);
  document.body.classList.toggle("on", on);
}

function watch() {
  if (document.hidden || paused) {
    source?.close();
    source = null;
    return say(paused ? "Paused" : "Waiting for the page to be visible", false);
  }
  if (source) return;
  source = new EventSource(root + "/events");
  source.onopen = () => say("Live", true);
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.parts) setParts(event.parts);
    if (event.values) setValues(event.values);
    if (event.rows || event.all) addRows(event.rows ?? [], event.all);
    if (event.missed) {
      missed.hidden = false;
      put(missed, "More requests end than the timeline can show. It is a sample; the figures count all.");
    }
  };
  source.onerror = () => {
    say("Connecting", false);
    if (source?.readyState !== EventSource.CLOSED) return; // the browser connects again
    source = null;
    setTimeout(watch, 3000);
  };
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  watch();
});

for (const row of rows.children) enhance(row);
pause.hidden = false;
document.getElementById("tools").hidden = false;
document.addEventListener("visibilitychange", watch);
addEventListener("pagehide", () => { source?.close(); source = null; });
addEventListener("pageshow", watch);
watch();
