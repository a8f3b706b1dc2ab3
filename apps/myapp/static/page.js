"use strict";

// show writes a counter wherever the page has it.
function show(counter, value) {
  for (const place of document.querySelectorAll(`[data-counter="${counter}"]`)) {
    place.textContent = value;
    place.closest("tr")?.removeAttribute("hidden");
  }
}

// run sends one of the two requests of a race, and tells how it went.
async function run(address) {
  const response = await fetch(address + "?pause=250", { method: "POST" });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return { value: Number(text), attempts: Number(response.headers.get("Pasteline-Attempt")) };
}

function line(className, ...texts) {
  const item = document.createElement("li");
  texts.forEach((text, i) => {
    const part = document.createElement("span");
    if (i > 0) part.className = "badge";
    part.textContent = text;
    item.append(part);
  });
  if (className) item.className = className;
  return item;
}

async function race(button) {
  const runners = button.parentElement.querySelector(".runners");
  button.disabled = true;
  runners.replaceChildren(line("", "one request", "running"), line("", "another", "running"));
  try {
    const results = await Promise.all([run(button.dataset.race), run(button.dataset.race)]);
    results.sort((a, b) => a.value - b.value);
    const lines = results.map((r) => line("", `made it ${r.value}`, r.attempts === 1 ? "1 attempt" : `${r.attempts} attempts`));
    runners.replaceChildren(...lines, line("verdict", "Both were counted."));
    show(button.dataset.of, results[1].value);
  } catch (err) {
    runners.replaceChildren(line("fault", `It did not work: ${err.message}`));
  } finally {
    button.disabled = false;
    button.focus(); // which it has lost when it was disabled
  }
}

for (const button of document.querySelectorAll("[data-race]")) {
  button.addEventListener("click", () => race(button));
  button.disabled = false; // without this script it is of no use
}

// Everybody's counter is live, as long as somebody looks: a browser has only a few connections for one site.
const live = document.getElementById("live");
let source = null;

function stop() {
  source?.close();
  source = null;
  live.classList.remove("on");
}

function watch() {
  if (document.hidden) return stop();
  if (source) return;
  source = new EventSource(live.dataset.events);
  source.onmessage = (event) => {
    live.classList.add("on");
    show("shared", JSON.parse(event.data).shared);
  };
  source.onerror = () => {
    live.classList.remove("on");
    if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    stop();
    setTimeout(watch, 5000);
  };
}

live.hidden = false;
document.addEventListener("visibilitychange", watch);
addEventListener("pagehide", stop);
addEventListener("pageshow", watch); // also of a page that the browser had kept
