"use strict";

// show writes a counter wherever the page has it.
function show(counter, value) {
  for (const place of document.querySelectorAll(`[data-counter="${counter}"]`)) place.textContent = value;
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
  runners.replaceChildren(line("", "They are off …"));
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
  }
}

for (const button of document.querySelectorAll("[data-race]")) {
  button.addEventListener("click", () => race(button));
}

// Everybody's counter is live, as long as somebody looks: a browser has only a few connections for one site.
let source = null;

function watch() {
  const live = document.getElementById("live");
  if (document.hidden) {
    source?.close();
    source = null;
    live.classList.remove("on");
    return;
  }
  source ??= new EventSource("/events");
  source.onmessage = (event) => {
    live.classList.add("on");
    show("shared", JSON.parse(event.data).shared);
  };
  source.onerror = () => live.classList.remove("on");
}

document.addEventListener("visibilitychange", watch);
addEventListener("pagehide", () => source?.close());
watch();
