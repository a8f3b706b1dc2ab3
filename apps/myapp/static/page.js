"use strict";

// show writes a counter's value to all elements of the page that display it.
function show(counter, value) {
  for (const place of document.querySelectorAll(`[data-counter="${counter}"]`)) {
    place.textContent = value;
    place.closest("tr")?.removeAttribute("hidden");
  }
}

// run sends one of the two requests of a race, and returns the new value and the number of attempts.
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
    const lines = results.map((r) => line("", `stored ${r.value}`, r.attempts === 1 ? "1 attempt" : `${r.attempts} attempts`));
    runners.replaceChildren(...lines, line("verdict", "Both changes were kept."));
    show(button.dataset.of, results[1].value);
  } catch (err) {
    runners.replaceChildren(line("fault", `The requests failed: ${err.message}`));
  } finally {
    button.disabled = false;
    button.focus(); // a button loses the focus when it is disabled
  }
}

for (const button of document.querySelectorAll("[data-race]")) {
  button.addEventListener("click", () => race(button));
  button.disabled = false; // the template disables it, as it needs this script
}

// The shared counter is updated live while the page is visible. A hidden page closes its connection, as a browser
// opens only a few to one site.
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
    if (source?.readyState !== EventSource.CLOSED) return; // the browser connects again
    stop();
    setTimeout(watch, 5000);
  };
}

live.hidden = false;
document.addEventListener("visibilitychange", watch);
addEventListener("pagehide", stop);
addEventListener("pageshow", watch); // also called when the browser restores a page from its cache
