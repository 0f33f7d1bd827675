// The review of errors: what kind each is, kept at every press of a key.
import { $, ask, introduce, kept, make, newId, tiles } from "./common.js";

let session, errors, shown, name, at = 0;
let sent = Promise.resolve(); // Presses are kept one after the other, however fast they come.

begin();

async function begin() {
  [session, errors] = await Promise.all([ask("api/session"), ask("api/errors")]);
  name = kept.get("name") ?? await introduce([], session.total);
  const subjects = [...new Set(errors.map((e) => e.subject))];
  $("whose").append(make("option", { value: "" }, `all errors (${errors.length})`), ...subjects.map((s) => make("option", { value: s }, `${s} (${errors.filter((e) => e.subject === s).length})`)));
  choose();
}

const own = (e) => e.kinds[name] ?? [];

// Begins at the first error that nobody told apart yet.
function choose() {
  const whose = $("whose").value;
  shown = errors.filter((e) => !whose || e.subject === whose);
  at = Math.max(0, shown.findIndex((e) => !own(e).length));
  draw();
}

function draw() {
  $("who").textContent = name;
  const told = shown.filter((e) => own(e).length).length;
  $("fill").style.width = `${shown.length ? (100 * told) / shown.length : 0}%`;
  $("count").textContent = `${told} of ${shown.length} told`;
  const e = shown[at];
  $("back").disabled = at === 0;
  $("next").disabled = at >= shown.length - 1;
  if (!e) {
    $("truth").textContent = "There are no errors to tell apart.";
    return;
  }
  const image = $("image");
  image.onload = () => image.classList.remove("waiting");
  image.addEventListener("load", () => image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) < 160), { once: true });
  image.src = `image/${e.place}`;
  $("truth").textContent = `It is ${e.truth.name}`;
  tiles($("strip"), e.truth.index, session.classes[e.truth.index].examples);
  $("subject").textContent = `${at + 1}: ${e.subject} (${e.person ? "a person" : "a net"}) says`;
  $("wrongs").replaceChildren(...e.guesses.map(([g, p], k) => {
    const fill = make("i");
    fill.style.width = p === null ? "0" : `${100 * p}%`;
    return make("li", { class: "share" }, make("span", {}, `${k + 1}. ${g}`), make("div", { class: "bar" }, fill), make("span", { class: "quiet" }, p === null ? "" : `${(100 * p).toFixed(1)} %`));
  }));
  $("kinds").replaceChildren(...session.kinds.map((kind, k) => make("li", {}, make("button", {
    "aria-pressed": own(e).includes(kind.name) ? "true" : "false",
    "data-kind": kind.name,
    onclick: () => press(k),
  }, make("kbd", {}, `${k + 1}`), kind.name, make("small", {}, kind.about)))));
}

function press(k) {
  const e = shown[at], kind = session.kinds[k]?.name;
  // What was refused is said on the page.
  if (e && kind) sent = sent.then(() => toggle(e, kind)).catch(() => {});
}

async function toggle(e, kind) {
  const kinds = own(e).includes(kind) ? own(e).filter((x) => x !== kind) : [...own(e), kind];
  await ask("api/tag", { id: newId(), by: name, subject: e.subject, place: e.place, kinds });
  e.kinds[name] = kinds;
  draw();
}

const move = (by) => { at = Math.min(Math.max(at + by, 0), shown.length - 1); draw(); };

$("whose").addEventListener("change", () => { choose(); $("whose").blur(); });
$("back").addEventListener("click", () => move(-1));
$("next").addEventListener("click", () => move(1));
$("image").addEventListener("click", () => $("stage").classList.toggle("large"));
$("who").addEventListener("click", async () => { name = await introduce([], session.total); choose(); });
document.addEventListener("keydown", (e) => {
  if (document.querySelector("dialog[open]") || e.altKey || e.ctrlKey || e.metaKey || e.target.tagName === "SELECT") return;
  if (/^[1-9]$/.test(e.key)) { e.preventDefault(); press(Number(e.key) - 1); }
  else if (e.key === "ArrowRight" || e.key === "Enter") { e.preventDefault(); move(1); }
  else if (e.key === "ArrowLeft") { e.preventDefault(); move(-1); }
  else if (e.key === "Escape") $("stage").classList.remove("large");
});
