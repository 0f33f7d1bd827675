
// The widgets, by the module interface of anywidget. The kernel holds the state; what people move goes there, what comes of it
// comes back. A kernel that is gone leaves the last picture where it is.

/** The bytes of a state, or nothing. */
function bytesOf(model, name) {
  const view = model.get(name);
  return view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : null;
}

/** What a closure or a probe gave: maps in a viewer, else a picture, else a text; and what it said. */
class Result {
  constructor(parent) {
    this.place = element(parent, "div");
    this.picture = element(parent, "img", "viewer-picture");
    this.picture.alt = "";
    this.text = element(parent, "pre");
    this.printed = element(parent, "pre");
    this.viewer = null;
  }

  show(model) {
    const [maps, bytes, picture] = [model.get("maps"), bytesOf(model, "bytes"), bytesOf(model, "picture")];
    if (maps && bytes && this.viewer) this.viewer.load(maps, bytes);
    else if (maps && bytes) this.viewer = new Viewer(this.place, maps, bytes);
    this.place.hidden = !(maps && bytes);
    this.picture.hidden = !picture;
    if (picture) {
      const before = this.picture.src;
      this.picture.onload = () => (this.picture.style.width = `${this.picture.naturalWidth / 2}px`);
      this.picture.src = URL.createObjectURL(new Blob([picture], { type: "image/png" }));
      this.picture.alt = model.get("text") || "the result";
      if (before) URL.revokeObjectURL(before);
    }
    for (const name of ["text", "printed"]) {
      this[name].textContent = model.get(name) || "";
      this[name].hidden = !model.get(name);
    }
  }
}

/** The sliders of a closure. */
function controls(parent, model, moved) {
  const bar = element(parent, "div", "viewer-bar");
  for (const { name, low, high, step } of model.get("controls")) {
    const value = model.get("values")[name];
    const made = slider(bar, name, [low, high, step, value], (number) => {
      said.textContent = short(number);
      moved({ values: { ...model.get("values"), [name]: number } });
    });
    const said = element(made.label, "output", "", short(value));
    model.on("change:values", () => {
      made.input.value = String(model.get("values")[name]);
      said.textContent = short(model.get("values")[name]);
    });
  }
}

/** A photo with a patch that is dragged, and what the net says of it. */
class Occluder {
  constructor(root, model, moved) {
    [this.model, this.moved] = [model, moved];
    this.root = element(root, "div", "viewer");
    const stage = element(this.root, "div", "viewer-stage");
    this.canvas = element(stage, "canvas", "viewer-map viewer-photo");
    this.canvas.tabIndex = 0;
    this.canvas.title = "drag the patch, or move it with the arrow keys";
    this.canvas.setAttribute("role", "img");
    this.table = element(stage, "table", "viewer-scores");
    this.hand = null;
    createImageBitmap(new Blob([bytesOf(model, "photo")], { type: "image/jpeg" })).then((photo) => {
      this.photo = photo;
      this.draw();
    });
    this.listen();
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.root);
  }

  /** Input px a screen px, and where the input lies on the screen. */
  frame() {
    const [left, top, width, height] = this.model.get("area").map((v) => v * this.scale);
    const [rows, columns] = this.model.get("input");
    return { left, top, x: columns / width, y: rows / height };
  }

  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const { left, top, x, y } = this.frame();
      return [(event.clientY - box.top - top) * y, (event.clientX - box.left - left) * x];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      const [[row, column], [top, left], [h, w]] = [at(event), this.model.get("at"), this.model.get("patch")];
      const inside = row >= top && row < top + h && column >= left && column < left + w;
      // Beside the patch, its middle comes under the pointer.
      this.hand = inside ? [row - top, column - left] : [h / 2, w / 2];
      this.canvas.setPointerCapture(event.pointerId);
      this.put([row - this.hand[0], column - this.hand[1]]);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const [row, column] = at(event);
      if (this.hand) this.put([row - this.hand[0], column - this.hand[1]]);
    });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => (this.hand = null));
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      const [[top, left], [h, w]] = [this.model.get("at"), this.model.get("patch")];
      this.put([top + step[0] * Math.ceil(h / 4), left + step[1] * Math.ceil(w / 4)]);
    });
  }

  put(corner) {
    const [input, patch, before] = ["input", "patch", "at"].map((name) => this.model.get(name));
    const at = corner.map((v, i) => Math.min(Math.max(Math.round(v), 0), input[i] - patch[i]));
    if (at.every((v, i) => v === before[i])) return;
    this.moved({ at });
    this.draw();
  }

  draw() {
    const [width, height] = this.model.get("size");
    const room = Math.min(this.root.clientWidth, 420);
    if (!this.photo || room <= 0) return;
    this.scale = room / width;
    const sharp = window.devicePixelRatio || 1;
    const { canvas } = this;
    [canvas.width, canvas.height] = [Math.round(room * sharp), Math.round(height * this.scale * sharp)];
    [canvas.style.width, canvas.style.height] = [`${room}px`, `${height * this.scale}px`];
    const context = canvas.getContext("2d");
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    context.drawImage(this.photo, 0, 0, room, height * this.scale);
    const { left, top, x, y } = this.frame();
    const [[row, column], [h, w]] = [this.model.get("at"), this.model.get("patch")];
    const place = [left + column / x, top + row / y, w / x, h / y];
    context.fillStyle = "#808080";
    context.fillRect(...place);
    context.strokeStyle = "#fff";
    context.strokeRect(...place);
    canvas.setAttribute("aria-label", `patch at row ${row}, column ${column}`);
  }

  show() {
    const word = this.model.get("word");
    this.table.replaceChildren();
    const head = element(this.table, "tr");
    for (const text of ["", "without", "with", word]) element(head, "th", "", text);
    const largest = Math.max(...this.model.get("scores").flatMap((s) => [s.before, s.now]), 1e-9);
    const scale = word === "probability" ? 1 : largest;
    const share = (value) => `${100 * Math.min(Math.max(value / scale, 0), 1)}%`;
    for (const { name, before, now } of this.model.get("scores")) {
      const row = element(this.table, "tr");
      element(row, "td", "", name);
      element(row, "td", "viewer-number", before.toFixed(4));
      element(row, "td", "viewer-number", now.toFixed(4));
      const track = element(element(row, "td"), "div", "viewer-track");
      element(track, "div", "viewer-now").style.width = share(now);
      element(track, "div", "viewer-before").style.left = share(before);
    }
    this.draw();
  }
}

/** Says when the kernel is gone: the model's comm lives no more. A kernel that died by itself leaves the model as it was and takes
 * JupyterLab's own comm away, of which nobody tells; it is looked at once a second. */
async function watchKernel(model, told) {
  const whole = await model.widget_manager.get_model(model.get("_id"));
  const look = () => {
    if (whole.comm_live !== false && !whole.comm?.jsServicesComm?.isDisposed) return;
    stop();
    told();
  };
  const timer = setInterval(look, 1000);
  const stop = () => {
    clearInterval(timer);
    whole.off("comm_live_update", look);
  };
  whole.on("comm_live_update", look);
  look();
  return stop;
}

export default {
  render({ model, el }) {
    const root = element(el, "div", "viewer-widget");
    // Keys belong to the widget and not to the notebook's shortcuts.
    root.dataset.lmSuppressShortcuts = "true";
    const kind = model.get("kind");
    const error = document.createElement("pre");
    error.className = "viewer-error";
    error.setAttribute("role", "alert");
    const moved = (values) => {
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
    };
    if (kind === "interact") controls(element(root, "div", "viewer"), model, moved);
    const shown = kind === "explore" ? new Occluder(root, model, moved) : new Result(root);
    root.append(error);
    const again = element(root, "button", "viewer-open", "try again");
    again.type = "button";
    again.addEventListener("click", () => model.send({ again: true }));
    let [due, first] = [false, true];
    const update = () => {
      // Several values come with one message.
      if (due) return;
      due = true;
      queueMicrotask(() => {
        due = false;
        const wrong = model.get("error") || "";
        error.textContent = wrong;
        error.hidden = !wrong;
        again.hidden = !wrong;
        if (!wrong || first) shown.show(model);
        first = false;
      });
    };
    update();
    const names = ["maps", "bytes", "picture", "text", "printed", "error", "scores"];
    names.forEach((name) => model.on(`change:${name}`, update));
    const gone = element(root, "p", "viewer-gone", "the kernel is gone: this is the last picture; run the cell again");
    gone.hidden = true;
    const unwatch = watchKernel(model, () => {
      gone.hidden = false;
      again.disabled = true;
    });
    return () => {
      names.forEach((name) => model.off(`change:${name}`, update));
      unwatch.then((stop) => stop());
    };
  },
};
