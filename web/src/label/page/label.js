// The labelling page. What was not submitted is kept in the browser, what was submitted is sent until it is acknowledged.
import { $, ask, introduce, kept, make, newId, tiles, trouble } from "./common.js";
import { find, index, marked } from "./search.js";

const PAGE = 60; // Rows drawn at once; more come when the list is scrolled.

let session, entries, name;
let place = null; // The image shown, by its place in the session's order.
let guesses = []; // Indexes of classes.
let found = [], at = 0, drawn = 0; // Classes by index; -1 - k is branch k of the place in the tree.
let trail = []; // The branches on the way down the tree of classes.
let progress = { done: 0, skipped: 0, next: [] };
let again = false, busy = false, teaching = false;
let times = [];
const clock = { shownAt: 0, before: 0 };

begin();

async function begin() {
  session = await ask("api/session");
  entries = index(session.classes);
  for (const e of document.querySelectorAll(".browse")) e.hidden = !session.tree;
  $("mode").textContent = session.training ? "training" : "blind";
  $("mode").classList.toggle("training", session.training);
  const most = session.guesses === 1 ? "one guess" : `up to ${session.guesses} guesses, the best first`;
  $("intro").textContent = `${session.total.toLocaleString("en")} images of ${session.name}; each gets ${most}, out of ${session.classes.length.toLocaleString("en")} classes. `
    + (session.training ? "After each answer the right class is shown." : "Nothing tells you whether you are right.");
  name = kept.get("name");
  if (!name) name = await introduce(session.people, session.total);
  await sendPending();
  await proceed(await ask(`api/next?labeller=${encodeURIComponent(name)}`));
}

// An answer whose acknowledgement was lost, with the page or the server.
async function sendPending() {
  const pending = kept.get("pending");
  if (pending) {
    try { await ask(pending.path, pending.body); } catch { /* Refused: said on the page. */ }
    kept.set("pending", null);
  }
}

async function send(path, body) {
  kept.set("pending", { path, body });
  try { return await ask(path, body); } finally { kept.set("pending", null); }
}

// Shows the next image of what the server says is next.
async function proceed(told) {
  progress = told;
  teaching = false;
  $("who").textContent = name;
  $("feedback").hidden = true;
  $("ask").hidden = false;
  meter();
  const draft = kept.get("draft");
  place = told.next[0] ?? null;
  guesses = draft && draft.name === name && draft.place === place ? draft.guesses : [];
  clock.before = draft && draft.place === place ? draft.time : 0;
  if (place === null) return finished();
  $("stage").hidden = false;
  trail = [];
  show(place);
  $("search").value = "";
  search();
  $("search").focus();
}

function show(place) {
  const image = $("image");
  image.classList.add("waiting");
  clock.shownAt = 0;
  image.onload = () => {
    image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) < 160);
    image.classList.remove("waiting");
    image.dataset.place = place;
    if (!document.hidden) clock.shownAt = performance.now();
  };
  image.onerror = () => trouble("This image cannot be shown; skip it (Alt S).");
  image.src = `image/${place}`;
  // The ones after it are fetched meanwhile.
  for (const p of progress.next.slice(1)) new Image().src = `image/${p}`;
}

const elapsed = () => (clock.before + (clock.shownAt ? performance.now() - clock.shownAt : 0)) / 1000;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { clock.before = elapsed() * 1000; clock.shownAt = 0; keepDraft(); }
  else if (place !== null && !teaching) clock.shownAt = performance.now();
});
window.addEventListener("pagehide", keepDraft);
setInterval(() => {
  const s = Math.floor(elapsed());
  $("clock").textContent = place === null || teaching ? "" : `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}, 500);

function keepDraft() {
  if (place !== null && !teaching) kept.set("draft", { name, place, guesses, time: elapsed() * 1000 });
}

function meter() {
  const share = session.total ? progress.done / session.total : 0;
  $("fill").style.width = `${100 * share}%`;
  const bar = $("fill").parentElement;
  bar.setAttribute("aria-valuemax", session.total);
  bar.setAttribute("aria-valuenow", progress.done);
  $("count").textContent = `${progress.done} of ${session.total}`;
  const sorted = times.slice().sort((a, b) => a - b);
  $("pace").textContent = sorted.length ? `${sorted[Math.floor(sorted.length / 2)].toFixed(1)} s an image` : "";
  $("undo").disabled = progress.done === 0;
}

function search() {
  const query = $("search").value;
  found = browsing() ? rows(here()) : find(entries, query);
  at = query.trim() ? Math.max(0, found.findIndex((c) => !guesses.includes(c))) : 0;
  drawn = 0;
  $("list").replaceChildren();
  $("list").scrollTop = 0;
  more();
  if (!found.length) $("list").append(make("div", { class: "none" }, `No class is called “${query.trim()}”. Try another word, or a part of one.`));
  steps();
  point();
  chips();
}

// The tree of classes, where there is one, is browsed while nothing is typed.
const here = () => trail[trail.length - 1] ?? session.tree;
const browsing = () => session.tree !== null && !$("search").value.trim();
const branchOf = (c) => (c < 0 ? here().below[-1 - c] : null);

// A branch's own class, then what is below it.
function rows(branch) {
  const own = branch.class === null ? [] : [branch.class];
  return [...own, ...branch.below.map((b, k) => (b.below.length ? -1 - k : b.class))];
}

function open(branch) {
  trail.push(branch);
  search();
  $("search").focus();
}

function back(to) {
  trail.length = to;
  search();
  $("search").focus();
}

function steps() {
  const steps = ["all classes", ...trail.map((b) => b.name)];
  $("trail").hidden = !browsing();
  $("trail").replaceChildren(...steps.map((name, k) => (k < trail.length
    ? make("button", { class: "plain", onclick: () => back(k) }, `${name} ›`)
    : make("span", {}, name))));
}

function more() {
  const query = $("search").value;
  const drawing = found.slice(drawn, drawn + PAGE).map((c, k) => {
    const branch = branchOf(c);
    if (branch) {
      return make("div", { class: "row branch", role: "option", id: `row${drawn + k}`, "data-class": c }, `${branch.name} ›`,
        make("span", { class: "synonyms" }, `${branch.count} ${branch.count === 1 ? "class" : "classes"}`));
    }
    const { name, synonyms, examples } = session.classes[c];
    const row = make("div", { class: "row", role: "option", id: `row${drawn + k}`, "data-class": c }, ...marked(name, query, make));
    if (synonyms.length) row.append(make("span", { class: "synonyms" }, synonyms.join(", ")));
    if (examples) row.append(make("img", { src: `examples/${c}`, loading: "lazy", alt: "" }));
    row.classList.toggle("taken", guesses.includes(c));
    return row;
  });
  drawn += drawing.length;
  $("list").append(...drawing);
}

function point() {
  const list = $("list");
  list.querySelector(".on")?.classList.remove("on");
  while (at >= drawn && drawn < found.length) more();
  const row = $(`row${at}`);
  if (row) {
    row.classList.add("on");
    row.scrollIntoView({ block: "nearest" });
  }
  $("search").setAttribute("aria-activedescendant", row ? row.id : "");
  const c = found[at];
  const examples = c === undefined || c < 0 ? 0 : session.classes[c].examples;
  const chosen = $("search").value.trim() !== "" || at > 0;
  $("shown").hidden = !examples || !chosen || window.innerHeight < 760;
  if (!$("shown").hidden) {
    $("shownname").textContent = session.classes[c].name;
    tiles($("shownstrip"), c, examples);
  }
}

function chips() {
  const items = guesses.map((c, k) => make("li", {}, make("i", {}, `${k + 1}`), session.classes[c].name, make("button", {
    title: "Drop this guess",
    "aria-label": `Drop ${session.classes[c].name}`,
    onclick: () => { guesses.splice(k, 1); changed(); },
  }, "×")));
  if (guesses.length < session.guesses && !teaching) {
    items.push(make("li", { class: "open" }, guesses.length ? `guess ${guesses.length + 1} of ${session.guesses}, or Enter to submit` : "your best guess"));
  }
  $("guesses").replaceChildren(...items);
  $("submit").disabled = !guesses.length || place === null;
  $("skip").disabled = place === null;
}

function changed() {
  keepDraft();
  $("search").value = "";
  search();
  $("search").focus();
}

function take(c) {
  if (c < 0) { open(branchOf(c)); return; }
  if (c === undefined || guesses.includes(c) || guesses.length >= session.guesses) return;
  guesses.push(c);
  trail = [];
  changed();
}

async function submit(skipped) {
  if (busy || place === null || teaching || (!skipped && !guesses.length)) return;
  busy = true;
  const time = elapsed();
  const body = {
    id: newId(), labeller: name, place, skipped, again, time_s: Math.round(time * 1000) / 1000,
    guesses: skipped ? [] : guesses.map((c) => session.classes[c].name),
  };
  try {
    const told = await send("api/answer", body);
    kept.set("draft", null);
    if (!skipped) times = [...times, time].slice(-50);
    if (told.feedback) teach(told);
    else await proceed(told);
  } catch { /* Refused: said on the page. */ } finally { busy = false; }
}

async function undo() {
  if (busy || progress.done === 0) return;
  busy = true;
  try {
    const told = await send("api/undo", { id: newId(), labeller: name });
    const byName = new Map(session.classes.map((c, i) => [c.name, i]));
    const back = told.undone;
    told.next = [back.place, ...told.next.filter((p) => p !== back.place)];
    kept.set("draft", { name, place: back.place, guesses: back.guesses.map((g) => byName.get(g)), time: 0 });
    await proceed(told);
  } catch { /* Refused: said on the page. */ } finally { busy = false; }
}

// After an answer in training: the right class, its examples, and what the net says.
function teach(told) {
  const f = told.feedback;
  teaching = true;
  progress = told;
  meter();
  const box = $("feedback");
  const truth = f.truth && f.truth[1];
  const verdict = !truth ? make("h2", {}, "The right class is not known")
    : f.rank === 1 ? make("h2", { class: "right" }, `Right: ${truth}`)
    : f.rank ? make("h2", { class: "right" }, `Right with guess ${f.rank}: ${truth}`)
    : make("h2", { class: "wrong" }, `It is ${truth}`);
  const parts = [verdict];
  const examples = f.truth ? session.classes[f.truth[0]].examples : 0;
  if (examples) {
    const grid = make("div", { class: "grid" });
    tiles(grid, f.truth[0], examples);
    parts.push(make("h3", {}, `Examples of ${truth}`), grid);
  }
  if (f.net.length) {
    parts.push(make("h3", {}, `What ${session.net} says`));
    for (const [guess, p] of f.net) {
      const fill = make("i");
      fill.style.width = `${100 * p}%`;
      parts.push(make("div", { class: guess === truth ? "share is" : "share" }, make("span", {}, guess), make("div", { class: "bar" }, fill), make("span", { class: "quiet" }, `${(100 * p).toFixed(1)} %`)));
    }
  }
  const next = make("button", { id: "next", class: "main", onclick: () => proceed(told) }, "Next image ", make("kbd", {}, "Enter"));
  parts.push(make("p", {}, next));
  box.replaceChildren(...parts);
  box.hidden = false;
  $("ask").hidden = true;
  chips();
  $("guesses").querySelectorAll("button").forEach((b) => b.remove());
  $("submit").disabled = $("skip").disabled = true;
  next.focus();
}

function finished() {
  $("stage").hidden = true;
  $("ask").hidden = true;
  $("guesses").replaceChildren();
  $("submit").disabled = $("skip").disabled = true;
  const box = $("feedback");
  const parts = [make("h2", {}, session.total ? "All images are done. Thank you!" : "There are no images."), make("p", { class: "quiet" }, "Your answers are kept; you can close this page.")];
  if (progress.skipped) {
    parts.push(make("p", {}, make("button", {
      id: "again",
      onclick: async () => { again = true; await proceed(await ask(`api/next?labeller=${encodeURIComponent(name)}&again=true`)); },
    }, `Look at the ${progress.skipped} skipped again`)));
  }
  box.replaceChildren(...parts);
  box.hidden = false;
}

$("search").addEventListener("input", search);
$("list").addEventListener("scroll", () => {
  const list = $("list");
  if (list.scrollTop + list.clientHeight > list.scrollHeight - 400 && drawn < found.length) more();
});
$("list").addEventListener("click", (e) => {
  const row = e.target.closest(".row");
  if (row) take(Number(row.dataset.class));
});
$("submit").addEventListener("click", () => submit(false));
$("skip").addEventListener("click", () => submit(true));
$("undo").addEventListener("click", undo);
$("help").addEventListener("click", () => $("keys").showModal());
$("image").addEventListener("click", () => $("stage").classList.toggle("large"));
$("who").addEventListener("click", async () => {
  keepDraft();
  session = await ask("api/session");
  name = await introduce(session.people, session.total);
  again = false;
  times = [];
  await proceed(await ask(`api/next?labeller=${encodeURIComponent(name)}`));
});
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => $("search").focus());

document.addEventListener("keydown", (e) => {
  if (document.querySelector("dialog[open]") || e.isComposing) return;
  const typed = $("search").value !== "";
  const alt = e.altKey && !e.ctrlKey && !e.metaKey;
  const act = (f) => { e.preventDefault(); f(); };
  if (alt && e.code === "KeyS") return act(() => submit(true));
  if ((alt && e.code === "KeyZ") || ((e.ctrlKey || e.metaKey) && e.code === "KeyZ" && !typed)) return act(undo);
  if (alt && e.code === "KeyI") return act(() => $("stage").classList.toggle("large"));
  if (e.altKey || e.ctrlKey || e.metaKey) return;
  if (e.key === "Escape") return act(() => { $("stage").classList.remove("large"); if (typed) { $("search").value = ""; search(); } });
  if (e.key === "?" && !typed) return act(() => $("keys").showModal());
  if (teaching || place === null) return;
  if (e.key === "ArrowDown") return act(() => { at = Math.min(at + 1, found.length - 1); point(); });
  if (e.key === "ArrowUp") return act(() => { at = Math.max(at - 1, 0); point(); });
  if (e.key === "PageDown") return act(() => { at = Math.min(at + 8, found.length - 1); point(); });
  if (e.key === "PageUp") return act(() => { at = Math.max(at - 8, 0); point(); });
  if (e.key === "ArrowRight" && browsing() && found[at] < 0) return act(() => open(branchOf(found[at])));
  if (e.key === "ArrowLeft" && browsing() && trail.length) return act(() => back(trail.length - 1));
  if (e.key === "Enter" && document.activeElement?.tagName !== "BUTTON") {
    return act(() => {
      if (e.repeat) return;
      const chosen = typed || at > 0 || trail.length > 0; // Taking a guess starts the search anew.
      if (chosen) take(found[at]);
      if (!chosen || (e.shiftKey && found[at] >= 0)) submit(false);
    });
  }
  if (e.key === "Backspace" && !typed && guesses.length) return act(() => { guesses.pop(); changed(); });
  if (e.key.length === 1 && document.activeElement !== $("search")) $("search").focus();
});
