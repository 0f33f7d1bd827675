// The page of points. What was not submitted is kept in the browser, what was submitted is sent until it is acknowledged.
import { $, ask, introduce, kept, make, newId, trouble } from "./common.js";

const NEAR = 14; // Pixels of the screen from which a point is taken hold of.
const CLOSEST = 24; // How many times closer than the whole image.

let session, name;
let place = null; // The image shown, by its place in the session's order.
let size = [1, 1]; // Its width and height.
let points = []; // Of each name: [x, y] in pixels of the image, null where not visible, undefined where nothing is said yet.
let current = 0; // The point that is asked for.
let steps = []; // What to take back: index and what was there.
let view = [0, 0, 1]; // Left, top and how many times closer.
let cross = null; // The cross of the keyboard, in pixels of the image.
let held = null; // What a pointer holds: a point that is dragged, or the image.
let progress = { done: 0, skipped: 0, next: [] };
let again = false, busy = false, loaded = false;
let times = [];
const clock = { shownAt: 0, before: 0 };

begin();

async function begin() {
  session = await ask("api/session");
  const n = session.points.length;
  $("intro").textContent = `${session.total.toLocaleString("en")} images of ${session.name}; on each ${n === 1 ? "one point" : `${n} points`}: ${session.points.join(", ")}. `
    + `Answers become ${session.table}, which load_images reads.`;
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
  $("who").textContent = name;
  $("feedback").hidden = true;
  $("points").hidden = $("task").hidden = false;
  meter();
  place = told.next[0] ?? null;
  steps = [];
  cross = null;
  const draft = kept.get("draft");
  const own = draft && draft.name === name && draft.place === place;
  points = session.points.map((p) => (own && p in draft.points ? draft.points[p] : undefined));
  clock.before = own ? draft.time : 0;
  current = open() ?? 0;
  if (place === null) return finished();
  $("stage").hidden = false;
  show(place);
  draw();
  $("picture").focus({ preventScroll: true });
}

function show(at) {
  const picture = $("picture");
  picture.classList.add("waiting");
  loaded = false;
  clock.shownAt = 0;
  const image = new Image();
  image.onload = () => {
    if (place !== at) return;
    size = [image.naturalWidth, image.naturalHeight];
    const photo = $("photo");
    photo.setAttribute("href", image.src);
    photo.setAttribute("width", size[0]);
    photo.setAttribute("height", size[1]);
    picture.classList.toggle("small", Math.max(...size) < 160);
    picture.classList.remove("waiting");
    picture.dataset.place = at;
    view = [0, 0, 1];
    loaded = true;
    if (!document.hidden) clock.shownAt = performance.now();
    draw();
  };
  image.onerror = () => trouble("This image cannot be shown; skip it (S).");
  image.src = `image/${at}`;
  // The ones after it are fetched meanwhile.
  for (const p of progress.next.slice(1)) new Image().src = `image/${p}`;
}

const elapsed = () => (clock.before + (clock.shownAt ? performance.now() - clock.shownAt : 0)) / 1000;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { clock.before = elapsed() * 1000; clock.shownAt = 0; keepDraft(); }
  else if (place !== null && loaded) clock.shownAt = performance.now();
});
window.addEventListener("pagehide", keepDraft);
setInterval(() => {
  const s = Math.floor(elapsed());
  $("clock").textContent = place === null ? "" : `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}, 500);

function keepDraft() {
  if (place === null) return;
  const said = session.points.flatMap((p, i) => (points[i] === undefined ? [] : [[p, points[i]]]));
  kept.set("draft", { name, place, points: Object.fromEntries(said), time: elapsed() * 1000 });
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
}

// The first point of which nothing is said, from `from` on and around.
function open(from = 0) {
  const n = session.points.length;
  for (let k = 0; k < n; k++) if (points[(from + k) % n] === undefined) return (from + k) % n;
  return null;
}

const svg = (tag, attributes, ...children) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
};

// Pixels of the image that a pixel of the screen is wide.
function unit() {
  const box = $("picture").getBoundingClientRect();
  const scale = Math.min(box.width / size[0], box.height / size[1]) * view[2];
  return scale > 0 ? 1 / scale : 1;
}

function draw() {
  const [left, top, closer] = view;
  $("picture").setAttribute("viewBox", `${left} ${top} ${size[0] / closer} ${size[1] / closer}`);
  const u = unit();
  $("marks").replaceChildren(...points.flatMap((p, i) => {
    if (!p) return [];
    const [x, y] = p;
    const right = x + 40 * u < left + size[0] / closer;
    return [svg("g", { class: `mark c${i % 8}${i === current ? " on" : ""}`, "data-point": i },
      svg("circle", { class: "hand", cx: x, cy: y, r: NEAR * u }),
      svg("circle", { class: "under", cx: x, cy: y, r: 8 * u }),
      svg("circle", { class: "ring", cx: x, cy: y, r: 8 * u }),
      svg("circle", { class: "dot", cx: x, cy: y, r: 1.6 * u }),
      svg("text", { x: x + (right ? 12 : -12) * u, y: y - 8 * u, "font-size": 13 * u, "stroke-width": 3 * u, "text-anchor": right ? "start" : "end" }, `${i + 1}`))];
  }));
  const [x, y] = cross ?? [0, 0], [near, far] = [5 * u, 4000 * u]; // What the cross points at stays free.
  const lines = `M${x} ${y - far}V${y - near}M${x} ${y + near}V${y + far}M${x - far} ${y}H${x - near}M${x + near} ${y}H${x + far}`;
  $("cross").replaceChildren(...(cross ? [svg("path", { class: "under", d: lines }), svg("path", { class: "over", d: lines })] : []));
  $("cross").toggleAttribute("hidden", !cross);
  list();
}

function list() {
  const said = (p) => (p === undefined ? "" : p === null ? "not visible" : `${p[0].toFixed(1)}, ${p[1].toFixed(1)}`);
  $("points").replaceChildren(...session.points.map((p, i) => make("li", {}, make("button", {
    class: `c${i % 8}`, "aria-current": i === current ? "true" : "false", onclick: () => choose(i),
  }, make("i", {}, `${i + 1}`), make("span", {}, p), make("span", { class: "quiet" }, said(points[i]))))));
  $("points").querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
  const all = open() === null;
  const asked = make("b", {}, session.points[current]);
  $("task").replaceChildren(...(place === null ? [] : all ? ["All points are said: submit, or move one."] : ["Click ", asked, "."]));
  $("submit").disabled = place === null || !all;
  $("skip").disabled = $("hidden").disabled = place === null;
  $("undo").disabled = steps.length === 0 && progress.done === 0;
}

function choose(i) {
  current = i;
  draw();
  $("picture").focus({ preventScroll: true });
}

// Says something of a point; the next one without a word is asked for.
function say(i, what, remembers = true) {
  if (remembers) steps.push([i, points[i]]);
  points[i] = what;
  current = open(i) ?? i;
  cross = null;
  keepDraft();
  draw();
}

const within = ([x, y]) => [Math.min(Math.max(x, 0), size[0]), Math.min(Math.max(y, 0), size[1])];

// Where an event is, in pixels of the image.
function where(e) {
  const at = new DOMPoint(e.clientX, e.clientY).matrixTransform($("picture").getScreenCTM().inverse());
  return [at.x, at.y];
}

const onImage = ([x, y]) => x >= 0 && y >= 0 && x <= size[0] && y <= size[1];

$("picture").addEventListener("pointerdown", (e) => {
  if (!loaded || busy || place === null || e.button > 0) return;
  $("picture").setPointerCapture(e.pointerId);
  const at = where(e);
  if (e.shiftKey && view[2] > 1) { held = { image: at }; return; }
  const grasp = e.target.closest?.(".mark");
  const i = grasp ? Number(grasp.dataset.point) : current;
  if (!grasp && !onImage(at)) return;
  held = { point: i, before: points[i], moved: !grasp };
  if (!grasp) { points[i] = at; current = i; }
  cross = null;
  draw();
});
$("picture").addEventListener("pointermove", (e) => {
  if (!held) return;
  const at = where(e);
  if (held.image) { look(view[0] + held.image[0] - at[0], view[1] + held.image[1] - at[1], view[2]); return; }
  held.moved = true;
  points[held.point] = within(at);
  draw();
});
function release() {
  if (!held) return;
  const { point, before, moved } = held;
  held = null;
  if (point === undefined) return;
  if (!moved) return choose(point);
  steps.push([point, before]);
  say(point, points[point], false);
}
$("picture").addEventListener("pointerup", release);
$("picture").addEventListener("pointercancel", release);

function look(left, top, closer) {
  const most = [size[0] * (1 - 1 / closer), size[1] * (1 - 1 / closer)];
  view = [Math.min(Math.max(left, 0), most[0]), Math.min(Math.max(top, 0), most[1]), closer];
  draw();
}

// Comes closer by a factor, with `at` staying where it is.
function zoom(factor, at) {
  const closer = Math.min(Math.max(view[2] * factor, 1), CLOSEST);
  const share = view[2] / closer;
  look(at[0] - (at[0] - view[0]) * share, at[1] - (at[1] - view[1]) * share, closer);
}

const middle = () => cross ?? points[current] ?? [view[0] + size[0] / view[2] / 2, view[1] + size[1] / view[2] / 2];
$("picture").addEventListener("wheel", (e) => {
  e.preventDefault();
  if (loaded) zoom(Math.exp(-e.deltaY / 300), within(where(e)));
}, { passive: false });
$("closer").addEventListener("click", () => zoom(1.6, middle()));
$("farther").addEventListener("click", () => zoom(1 / 1.6, middle()));
window.addEventListener("resize", () => { if (session) draw(); });

function move(dx, dy) {
  if (!loaded) return;
  const from = cross ?? middle();
  cross = within([Math.round(from[0] + dx - .5) + .5, Math.round(from[1] + dy - .5) + .5]);
  const [width, height] = [size[0] / view[2], size[1] / view[2]];
  const seen = (value, low, extent) => (value < low ? value : value > low + extent ? value - extent : low);
  look(seen(cross[0], view[0], width), seen(cross[1], view[1], height), view[2]);
}

async function submit(skipped) {
  if (busy || place === null || (!skipped && open() !== null)) return;
  busy = true;
  const time = elapsed();
  const body = {
    id: newId(), labeller: name, place, skipped, again, time_s: Math.round(time * 1000) / 1000,
    points: skipped ? {} : Object.fromEntries(session.points.map((p, i) => [p, points[i]])),
  };
  try {
    const told = await send("api/points", body);
    kept.set("draft", null);
    if (!skipped) times = [...times, time].slice(-50);
    await proceed(told);
  } catch { /* Refused: said on the page. */ } finally { busy = false; }
}

async function undo() {
  if (busy) return;
  const last = steps.pop();
  if (last) {
    [current, cross] = [last[0], null];
    points[last[0]] = last[1];
    keepDraft();
    draw();
    return;
  }
  if (progress.done === 0) return;
  busy = true;
  try {
    const told = await send("api/undo", { id: newId(), labeller: name });
    const back = told.undone;
    told.next = [back.place, ...told.next.filter((p) => p !== back.place)];
    kept.set("draft", { name, place: back.place, points: back.points, time: 0 });
    await proceed(told);
  } catch { /* Refused: said on the page. */ } finally { busy = false; }
}

function finished() {
  $("stage").hidden = true;
  $("points").hidden = $("task").hidden = true;
  list();
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

$("submit").addEventListener("click", () => submit(false));
$("hidden").addEventListener("click", () => { if (place !== null) say(current, null); });
$("skip").addEventListener("click", () => submit(true));
$("undo").addEventListener("click", undo);
$("help").addEventListener("click", () => $("keys").showModal());
$("who").addEventListener("click", async () => {
  keepDraft();
  session = await ask("api/session");
  name = await introduce(session.people, session.total);
  again = false;
  times = [];
  await proceed(await ask(`api/next?labeller=${encodeURIComponent(name)}`));
});
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => $("picture").focus({ preventScroll: true }));

document.addEventListener("keydown", (e) => {
  if (!session || document.querySelector("dialog[open]") || e.isComposing) return;
  const act = (f) => { e.preventDefault(); f(); };
  if ((e.ctrlKey || e.metaKey || e.altKey) && e.code === "KeyZ") return act(undo);
  if (e.altKey && e.code === "KeyS") return act(() => submit(true));
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "?") return act(() => $("keys").showModal());
  if (e.code === "KeyZ" || e.key === "Backspace") return act(undo);
  if (place === null) return;
  if (e.code === "KeyN") return act(() => say(current, null));
  if (e.code === "KeyS") return act(() => submit(true));
  if (e.key === "+" || e.key === "=") return act(() => zoom(1.6, middle()));
  if (e.key === "-") return act(() => zoom(1 / 1.6, middle()));
  if (e.key === "Escape") return act(() => { cross = null; view = [0, 0, 1]; draw(); });
  const n = Number(e.key);
  if (n >= 1 && n <= Math.min(9, session.points.length)) return act(() => choose(n - 1));
  const far = e.shiftKey ? 10 : 1;
  const arrows = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
  if (arrows[e.key]) return act(() => move(...arrows[e.key]));
  if (e.key === "Enter" && (document.activeElement?.tagName !== "BUTTON" || cross)) {
    return act(() => {
      if (e.repeat) return;
      if (cross) say(current, cross);
      else submit(false);
    });
  }
});
