// The viewer of maps: draws a map over its photo and says what is under the pointer. It is the one script of a report and the
// front of the notebooks' widgets. It loads nothing, and texts that others wrote become text nodes and nothing else.
"use strict";

/** The largest magnification. */
const LARGEST_ZOOM = 32;
/** Width that a map is given at most, px. */
const WIDEST = 640;

/** A new element in `parent`, with a class and a text. */
function element(parent, tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

/** A number in as few digits as tell it from every other f32. */
function shortest(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value > 0 ? "infinite" : "minus infinite";
  for (let digits = 1; digits < 9; digits += 1) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(Number(value.toPrecision(9)));
}

/** A number in four digits, for the ends of a scale. */
function short(value) {
  return String(Number(value.toPrecision(4)));
}

/** A slider with its name; `changed` is given its number. */
function slider(parent, name, [low, high, step, value], changed) {
  const label = element(parent, "label", "", name);
  const input = element(label, "input");
  Object.assign(input, { type: "range", min: low, max: high, step, value });
  input.setAttribute("aria-label", name);
  input.addEventListener("input", () => changed(Number(input.value)));
  return { label, input };
}

/** Views the maps of one artifact in `root`: `about` and `bytes` as the engine packs them. */
class Viewer {
  constructor(root, about, bytes) {
    this.root = element(root, "div", "viewer");
    this.state = { map: 0, frame: 0, opacity: 0.6, threshold: 0 };
    this.view = { zoom: 1, x: 0, y: 0 };
    this.cell = null;
    this.dragged = null;
    this.build();
    this.load(about, bytes);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.root);
  }

  /** The controls, which stay as they are while maps come and go. */
  build() {
    const bar = element(this.root, "div", "viewer-bar");
    this.choice = element(bar, "select");
    this.choice.setAttribute("aria-label", "map");
    this.choice.addEventListener("change", () => this.choose(Number(this.choice.value)));
    this.frame = slider(bar, "channel", [0, 0, 1, 0], (n) => this.turn(n));
    this.caption = element(this.frame.label, "output");
    slider(bar, "opacity", [0, 1, 0.01, this.state.opacity], (v) => this.set({ opacity: v }));
    this.threshold = slider(bar, "threshold", [0, 1, 0.01, 0], (v) => this.set({ threshold: v }));
    const zooms = element(bar, "span");
    for (const [text, title, act] of [
      ["−", "smaller", () => this.zoom(1 / 1.5)],
      ["+", "larger", () => this.zoom(1.5)],
      ["fit", "all of it", () => this.fit()],
    ]) {
      const button = element(zooms, "button", "", text);
      Object.assign(button, { type: "button", title });
      button.addEventListener("click", act);
    }
    const stage = element(this.root, "div", "viewer-stage");
    const figure = element(stage, "figure");
    this.canvas = element(figure, "canvas", "viewer-map");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.title = "Ctrl and the wheel zoom, dragging moves, arrow keys walk from cell to cell";
    this.readout = element(figure, "output", "viewer-readout");
    this.readout.setAttribute("aria-live", "polite");
    this.colours = element(figure, "span", "viewer-scale");
    this.under = element(stage, "figure");
    this.crop = element(this.under, "canvas");
    element(this.under, "figcaption", "", "what the patch hides");
    this.note = element(this.root, "div", "viewer-note");
    this.listen();
  }

  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (this.dragged) this.pan(x - this.dragged[0], y - this.dragged[1]);
      if (this.dragged) this.dragged = [x, y];
      this.point(this.cellAt(x, y));
    });
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.view.zoom > 1) {
        this.dragged = at(event);
        this.canvas.setPointerCapture(event.pointerId);
      }
      this.point(this.cellAt(...at(event)));
    });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => (this.dragged = null));
    this.canvas.addEventListener("wheel", (event) => {
      // The plain wheel scrolls the page.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), at(event));
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (step) {
        const [row, column] = this.cell ? [this.cell[0] + step[0], this.cell[1] + step[1]] : [0, 0];
        const within = (value, count) => Math.min(Math.max(value, 0), count - 1);
        this.point([within(row, this.map.rows), within(column, this.map.columns)]);
      } else if (event.key === "+" || event.key === "-") {
        this.zoom(event.key === "+" ? 1.5 : 1 / 1.5);
      } else if (event.key === "0") {
        this.fit();
      } else {
        return;
      }
      event.preventDefault();
    });
  }

  /** Takes other maps in; what was chosen stays chosen where it is still there. */
  load(about, bytes) {
    this.about = about;
    this.bytes = bytes;
    this.photos = about.photos.map(() => null);
    about.photos.forEach((photo, i) => {
      const coded = new Blob([this.part(photo.at, photo.bytes)], { type: photo.type || "image/jpeg" });
      createImageBitmap(coded).then((picture) => {
        // Other maps may have come meanwhile.
        if (this.about !== about) return;
        this.photos[i] = picture;
        this.draw();
      });
    });
    this.choice.replaceChildren();
    about.maps.forEach((map, i) => {
      element(this.choice, "option", "", map.title || `map ${i + 1}`).value = String(i);
    });
    this.choice.hidden = about.maps.length < 2;
    this.note.textContent = about.left_out || "";
    this.choose(Math.min(this.state.map, about.maps.length - 1));
  }

  part(at, length) {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + at, length);
  }

  /** The numbers of a map's frame. */
  numbers(map, frame) {
    const count = map.rows * map.columns;
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + map.at + 4 * count * frame, 4 * count);
    return Float32Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
  }

  choose(number) {
    this.map = this.about.maps[number];
    this.state.map = number;
    for (const shown of [this.canvas.parentElement, this.under]) shown.hidden = !this.map;
    if (!this.map) return;
    this.choice.value = String(number);
    const frames = this.map.frames.length;
    Object.assign(this.frame.input, { max: frames - 1 });
    this.frame.label.hidden = frames < 2;
    this.threshold.label.hidden = !this.map.scale;
    this.under.hidden = !this.map.patch;
    // Of a volume the slice of the strongest voxel comes first.
    this.turn(Math.min(this.state.frame || this.map.first || 0, frames - 1));
  }

  turn(frame) {
    this.state.frame = frame;
    this.frame.input.value = String(frame);
    this.caption.textContent = this.map.frames[frame] || String(frame);
    this.values = this.numbers(this.map, frame);
    this.canvas.setAttribute("aria-label", [this.map.title, this.map.frames[frame]].filter(Boolean).join(", "));
    if (this.cell && (this.cell[0] >= this.map.rows || this.cell[1] >= this.map.columns)) this.cell = null;
    this.legend();
    this.paint();
    this.point(this.cell);
  }

  /** The colours of the frame, or nothing for a map of classes: those of the map unless each frame has ends of its own. */
  ramp() {
    return this.map.scale && { ...this.map.scale, ...(this.map.ends ? this.map.ends[this.state.frame] : {}) };
  }

  set(change) {
    Object.assign(this.state, change);
    this.paint();
    this.draw();
  }

  /** The colours' ends, or nothing for a map of classes. */
  legend() {
    this.colours.replaceChildren();
    const scale = this.ramp();
    if (!scale) return;
    element(this.colours, "span", "", short(scale.low));
    const bar = element(this.colours, "canvas");
    [bar.width, bar.height] = [256, 10];
    const palette = this.part(scale.palette, 768);
    const pixels = new ImageData(256, 10);
    for (let i = 0; i < 2560; i += 1) {
      pixels.data.set([...palette.subarray(3 * (i % 256), 3 * (i % 256) + 3), 255], 4 * i);
    }
    bar.getContext("2d").putImageData(pixels, 0, 0);
    element(this.colours, "span", "", `${short(scale.high)} ${this.map.label}`);
  }

  /** The map's cells as pixels; those below the threshold are clear. */
  paint() {
    const { rows, columns, classes } = this.map;
    const scale = this.ramp();
    const pixels = new ImageData(columns, rows);
    const palette = scale && this.part(scale.palette, 768);
    // A symmetric-log scale is about linear up to `linear`, and logarithmic beyond.
    const bent = (value) => (scale.linear ? Math.asinh(value / scale.linear) : value);
    const hues = new Map((classes || []).map(([n, , hue]) => [n, [1, 3, 5].map((i) => parseInt(hue.slice(i, i + 2), 16))]));
    this.values.forEach((value, i) => {
      let [colour, seen] = [[255, 0, 200], true];
      if (scale && !Number.isNaN(value)) {
        const place = Math.min(Math.max((bent(value) - bent(scale.low)) / (bent(scale.high) - bent(scale.low)), 0), 1);
        const entry = 3 * Math.round(255 * place);
        colour = palette.subarray(entry, entry + 3);
        seen = (scale.diverging ? Math.abs(2 * place - 1) : place) >= this.state.threshold;
      } else if (classes) {
        colour = hues.get(value) || [190, 190, 190];
      }
      pixels.data.set([...colour, seen ? 255 : 0], 4 * i);
    });
    this.picture = document.createElement("canvas");
    [this.picture.width, this.picture.height] = [columns, rows];
    this.picture.getContext("2d").putImageData(pixels, 0, 0);
  }

  /** Screen px for a px of the photo. */
  scale() {
    return (this.wide / this.map.width) * this.view.zoom;
  }

  fit() {
    this.view = { zoom: 1, x: 0, y: 0 };
    this.draw();
  }

  /** Magnifies so that the place `at` on the canvas (its middle unless given) stays where it is. */
  zoom(factor, at = [this.wide / 2, this.high / 2]) {
    const before = this.scale();
    this.view.zoom = Math.min(Math.max(this.view.zoom * factor, 1), LARGEST_ZOOM);
    const after = this.scale();
    this.view.x += at[0] / before - at[0] / after;
    this.view.y += at[1] / before - at[1] / after;
    this.pan(0, 0);
  }

  pan(dx, dy) {
    const { view, map } = this;
    const within = (value, most) => Math.min(Math.max(value, 0), Math.max(most, 0));
    view.x = within(view.x - dx / this.scale(), map.width - map.width / view.zoom);
    view.y = within(view.y - dy / this.scale(), map.height - map.height / view.zoom);
    this.draw();
  }

  draw() {
    if (!this.map || !this.picture) return;
    const { map, view, canvas } = this;
    const room = Math.min(this.root.clientWidth, WIDEST);
    if (room <= 0) return;
    const largest = 0.8 * window.innerHeight;
    this.wide = Math.max(Math.min(room, (largest * map.width) / map.height), 40);
    this.high = (this.wide * map.height) / map.width;
    const sharp = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(this.wide * sharp), Math.round(this.high * sharp)];
    [canvas.style.width, canvas.style.height] = [`${this.wide}px`, `${this.high}px`];
    canvas.classList.toggle("moves", view.zoom > 1);
    const context = canvas.getContext("2d");
    const scale = this.scale() * sharp;
    context.setTransform(scale, 0, 0, scale, -view.x * scale, -view.y * scale);
    const photo = this.underneath();
    context.imageSmoothingEnabled = !map.photos;
    if (photo) context.drawImage(photo, 0, 0, map.width, map.height);
    context.save();
    context.beginPath();
    context.rect(...map.clip);
    context.clip();
    context.imageSmoothingEnabled = false;
    context.globalAlpha = this.laid() ? this.state.opacity : 1;
    context.drawImage(this.picture, ...map.over);
    context.restore();
    if (this.cell) this.mark(context, 1.5 / this.scale());
    this.uncover();
  }

  /** Whether the map lies over a photo, or over a slice of a volume each frame. */
  laid() {
    return Boolean(this.map.photos) || typeof this.map.photo === "number";
  }

  /** The photo under the frame, where it is decoded. */
  underneath() {
    return this.photos[this.map.photos ? this.map.photos[this.state.frame] : this.map.photo];
  }

  /** The rectangle of a cell, and of the patch that stood there where the map has one. */
  places([row, column]) {
    const { over: [x, y, w, h], rows, columns, patch, clip } = this.map;
    const [wide, high] = [w / columns, h / rows];
    const cell = [x + column * wide, y + row * high, wide, high];
    if (!patch) return { cell };
    const [left, top] = [patch[0] + column * wide, patch[1] + row * high];
    const most = (from, side, start, length) => Math.min(side, start + length - from);
    return { cell, patch: [left, top, most(left, patch[2], clip[0], clip[2]), most(top, patch[3], clip[1], clip[3])] };
  }

  mark(context, line) {
    const { cell, patch } = this.places(this.cell);
    for (const [width, colour] of [[2 * line, "#000"], [line, "#fff"]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.strokeRect(...(patch || cell));
      if (patch) context.strokeRect(...cell);
    }
  }

  /** The part of the photo that the patch hides at the chosen position. */
  uncover() {
    if (!this.map.patch) return;
    const photo = this.underneath();
    const context = this.crop.getContext("2d");
    const [, , w, h] = this.map.patch;
    [this.crop.width, this.crop.height] = [160, Math.max(Math.round((160 * h) / w), 1)];
    if (!photo || !this.cell) return;
    const [x, y, wide, high] = this.places(this.cell).patch;
    const [sx, sy] = [photo.width / this.map.width, photo.height / this.map.height];
    const zoom = this.crop.width / w;
    context.drawImage(photo, x * sx, y * sy, wide * sx, high * sy, 0, 0, wide * zoom, high * zoom);
  }

  /** The cell at a place on the canvas, or nothing. */
  cellAt(x, y) {
    if (!this.map) return null;
    const [px, py] = [this.view.x + x / this.scale(), this.view.y + y / this.scale()];
    const inside = ([left, top, w, h]) => px >= left && py >= top && px < left + w && py < top + h;
    if (!inside(this.map.clip) || !inside(this.map.over)) return null;
    const [left, top, w, h] = this.map.over;
    return [Math.floor(((py - top) / h) * this.map.rows), Math.floor(((px - left) / w) * this.map.columns)];
  }

  /** Says what a cell holds. */
  point(cell) {
    this.cell = cell;
    this.readout.textContent = cell ? this.said(cell) : "";
    this.draw();
  }

  said([row, column]) {
    const { map } = this;
    const place = row * map.columns + column;
    const text = [`row ${row}, column ${column}`];
    if (map.classes) {
      text.push(this.className(map, this.values[place]));
    } else {
      text.push(`${shortest(this.values[place])} ${map.label}`.trim());
      // The most probable class at the same place, where another map of the same size holds it.
      const other = this.about.maps.find((m) => m.classes && m.rows === map.rows && m.columns === map.columns);
      if (other) text.push(this.className(other, this.numbers(other, 0)[place]));
    }
    return text.join(" · ");
  }

  className(map, number) {
    if (Number.isNaN(number)) return "no class";
    const entry = map.classes.find(([n]) => n === number);
    return `class ${number}${entry ? ` ${entry[1]}` : ""}`;
  }

  /** Takes the viewer off the page. */
  remove() {
    this.watch.disconnect();
    this.root.remove();
  }
}

/** Puts a button before each set of maps in `page`; a click opens its viewer. */
function openViewers(page) {
  for (const data of page.querySelectorAll("template.viewer-maps")) {
    const place = document.createElement("div");
    const button = element(place, "button", "viewer-open", "values under the pointer");
    button.type = "button";
    button.addEventListener("click", () => {
      button.remove();
      const { about, bytes } = JSON.parse(data.content.textContent);
      new Viewer(place, about, Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)));
    }, { once: true });
    data.before(place);
  }
}
