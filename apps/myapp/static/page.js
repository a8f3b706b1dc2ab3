"use strict";

// show writes a counter's value to all elements of the page that display it.
function show(counter, value) {
  for (const place of document.querySelectorAll(`[data-counter="${counter}"]`)) {
    place.textContent = value;
    place.closest("tr")?.removeAttribute("hidden");
  }
}

// run sends one of the two requests of a race, and returns the new value and the number of attempts.
async function run(address, name) {
  const response = await fetch(`${address}?pause=250&race=${name}`, { method: "POST" });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return { value: Number(text), attempts: Number(response.headers.get("Pasteline-Attempt")) };
}

// follow draws the timelines of a race while it runs, and the dots of its requests in the picture of
// the pipeline. It returns a promise for the end of the race.
function follow(name, runners) {
  const races = document.querySelector("[data-races]")?.dataset.races;
  if (!races) return Promise.resolve(); // only with debug = true
  return new Promise((resolve) => {
    const source = new EventSource(races + name);
    const end = () => {
      source.close();
      dot({});
      resolve();
    };
    source.onmessage = (message) => {
      const event = JSON.parse(message.data);
      runners.innerHTML = event.timelines;
      dot(event.dots);
      if (event.done) end();
    };
    source.onerror = end;
  });
}

// dot writes the dots of the frames that have requests, and clears the others.
function dot(dots) {
  for (const place of document.querySelectorAll(".frame .dots")) {
    const frame = place.closest(".frame");
    place.textContent = dots[frame.id] ?? "";
    frame.classList.toggle("busy", frame.id in dots);
  }
}

// update shows the session as it is now: the first race begins it.
async function update() {
  const response = await fetch(location.href);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of ["#you ~ .lead", "#you ~ .facts"]) {
    document.querySelector(part).replaceWith(page.querySelector(part));
  }
}

async function race(button) {
  const box = button.parentElement;
  const verdict = box.querySelector(".verdict");
  const name = crypto.getRandomValues(new Uint32Array(4)).join("-");
  button.disabled = true;
  verdict.className = "verdict";
  verdict.textContent = "Two requests are running.";
  box.querySelector(".runners").replaceChildren();
  const drawn = follow(name, box.querySelector(".runners"));
  try {
    const results = await Promise.all([run(button.dataset.race, name), run(button.dataset.race, name)]);
    results.sort((a, b) => a.value - b.value);
    show(button.dataset.of, results[1].value);
    await drawn;
    await update();
    const attempts = results[0].attempts + results[1].attempts;
    verdict.classList.add("done");
    verdict.textContent = `Stored ${results[0].value} and ${results[1].value} in ${attempts} attempts: both changes were kept.`;
  } catch (err) {
    verdict.classList.add("fault");
    verdict.textContent = `The requests failed: ${err.message}`;
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
