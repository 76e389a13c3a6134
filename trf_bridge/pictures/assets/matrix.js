// Draw a matrix and the two texts that label it. Hovering over a word of one text shades the other.
(() => {
  "use strict";

  const MEAN = "mean";
  const MAX_BUTTONS = 6; // for choosing a text; more texts are a drop-down list
  const LEVELS = [
    ["tokens", "tokens"], ["words", "tokens without boundary pieces"], ["pieces", "wordpieces"],
  ];

  const make = (tag, className, text) => {
    const el = document.createElement(tag);
    if (className) el.className = className;
    if (text !== undefined) el.textContent = text;
    return el;
  };

  const unpack = async (packed) => {
    const bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  // Unpack the selected matrices, which are stored one after the other, and average them.
  const average = (roots, size, indices) => {
    const values = new Float32Array(size);
    for (const index of indices) {
      const offset = index * size;
      for (let k = 0; k < size; k++) values[k] += (roots[offset + k] / 255) ** 2;
    }
    for (let k = 0; k < size; k++) values[k] /= indices.length || 1;
    return values;
  };

  const unscale = (bytes, low, high) => {
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 2 }, (_, k) =>
      low + (high - low) * view.getUint16(2 * k, true) / 65535);
  };

  // Sources return the view to draw: {rows, columns, values, low, high}.
  const attentionSource = (payload) => {
    const cache = new Map();
    const { layers, heads, texts } = payload;
    return async ({ text, level, layer, head }) => {
      const key = `${text}/${level}`;
      if (!cache.has(key)) cache.set(key, await unpack(texts[text].data[level]));
      const side = texts[text][level === "pieces" ? "pieces" : "tokens"];
      const n = side.labels.length;
      const selected = [];
      layers.forEach((l, i) => heads.forEach((h, j) => {
        if ((layer === MEAN || layer === l) && (head === MEAN || head === h)) {
          selected.push(i * heads.length + j);
        }
      }));
      return { rows: side, columns: side, values: average(cache.get(key), n * n, selected), low: 0 };
    };
  };

  const rangeSource = (payload) => {
    let values = null;
    return async () => {
      values = values || unscale(await unpack(payload.values), payload.low, payload.high);
      const { rows, columns, low, high } = payload;
      return { rows, columns, values, low, high };
    };
  };

  // Build a row of buttons, or a list, for each choice; `change` is called with the new value.
  const makeControls = (payload, state, change) => {
    const controls = make("div", "trf-controls");
    const redraws = [];
    const addList = (name, field, options) => {
      const list = make("select");
      list.setAttribute("aria-label", name);
      list.dataset.choose = field;
      list.append(...options.map(([, label]) => make("option", "", label)));
      list.dir = "auto";
      list.addEventListener("change", () => change({ [field]: options[list.selectedIndex][0] }));
      redraws.push(() => {
        list.selectedIndex = options.findIndex(([value]) => value === state[field]);
      });
      controls.append(make("span", "trf-name", name), list);
    };
    const add = (name, field, options) => {
      if (options.length < 2) return;
      if (field === "text" && options.length > MAX_BUTTONS) {
        addList(name, field, options);
        return;
      }
      const choices = make("div", "trf-choices");
      choices.setAttribute("role", "group");
      choices.setAttribute("aria-label", name);
      for (const [value, label] of options) {
        const button = make("button", "", label);
        button.type = "button";
        button.dir = "auto"; // truncates the end of the label, not the start, in either direction
        button.dataset[field] = value;
        button.title = label.length > 8 ? label : `${name} ${label}`;
        button.addEventListener("click", () => change({ [field]: value }));
        redraws.push(() => button.setAttribute("aria-pressed", String(state[field] === value)));
        choices.append(button);
      }
      controls.append(make("span", "trf-name", name), choices);
    };
    const numbers = (values) => {
      const options = values.map((value) => [value, String(value)]);
      return values.length > 1 ? [...options, [MEAN, "mean"]] : options;
    };
    add("text", "text", payload.texts.map((text, i) => [i, text.title]));
    add("between", "level", LEVELS);
    add("layer", "layer", numbers(payload.layers));
    add("head", "head", numbers(payload.heads));
    return { controls, redraw: () => redraws.forEach((redraw) => redraw()) };
  };

  class Side {
    constructor(name, which, on) {
      this.el = make("div", "trf-side");
      this.text = make("div", "trf-text");
      this.text.dataset.side = which;
      this.el.append(make("div", "trf-name", name), this.text);
      const index = (event) => {
        const word = event.target.closest(".trf-word");
        return word ? Number(word.dataset.index) : null;
      };
      const hover = (event) => index(event) !== null && on.hover(which, index(event));
      this.text.addEventListener("mouseover", hover);
      this.text.addEventListener("focusin", hover);
      this.text.addEventListener("mouseleave", () => on.leave());
      this.text.addEventListener("focusout", () => on.leave());
      this.text.addEventListener("click", (e) => index(e) !== null && on.pin(which, index(e)));
      this.text.addEventListener("keydown", (event) => {
        if (index(event) === null || (event.key !== "Enter" && event.key !== " ")) return;
        event.preventDefault();
        on.pin(which, index(event));
      });
    }

    fill(side, direction) {
      this.text.dir = side.dir || direction;
      this.text.replaceChildren();
      this.words = side.labels.map((label, i) => {
        const word = make("span", "trf-word");
        word.append(make("bdi", "", label));
        word.tabIndex = 0;
        word.dataset.index = i;
        word.title = side.titles[i];
        if (side.boundary && side.boundary[i]) word.classList.add("trf-edge");
        if (side.per_line && i && i % side.per_line === 0) this.text.append(make("span", "trf-break"));
        this.text.append(word);
        return word;
      });
      this.text.classList.toggle("trf-small", this.words.length > 120);
    }

    shade(values, low, high) {
      this.words.forEach((word, i) => {
        if (values === null) {
          word.style.removeProperty("--shade");
          delete word.dataset.value;
        } else {
          const part = high > low ? (values[i] - low) / (high - low) : 0;
          word.style.setProperty("--shade", Math.max(0, Math.min(1, part)).toFixed(3));
          word.dataset.value = values[i].toFixed(3);
        }
      });
    }

    mark(from, at) {
      this.words.forEach((word, i) => {
        word.classList.toggle("trf-from", i === from);
        word.classList.toggle("trf-at", i === at);
      });
    }
  }

  class HeatMap {
    constructor(figure, on) {
      this.figure = figure;
      this.el = make("div", "trf-map");
      this.canvas = make("canvas");
      this.canvas.setAttribute("role", "img");
      this.el.append(this.canvas);
      const cell = (event) => {
        const box = this.canvas.getBoundingClientRect();
        const x = Math.floor((event.clientX - box.left - this.left) / this.size);
        const i = Math.floor((event.clientY - box.top - this.top) / this.size);
        const j = this.mirrored ? this.n - 1 - x : x;
        return i >= 0 && i < this.m && j >= 0 && j < this.n ? [i, j] : null;
      };
      this.canvas.addEventListener("mousemove", (event) => on.cell(cell(event)));
      this.canvas.addEventListener("mouseleave", () => on.leave());
      this.canvas.addEventListener("click", (event) => cell(event) && on.pick(...cell(event)));
    }

    draw(view, mirrored) {
      this.m = view.rows.labels.length;
      this.n = view.columns.labels.length;
      this.mirrored = mirrored;
      const context = this.canvas.getContext("2d");
      const style = getComputedStyle(this.figure);
      const room = Math.max(200, this.el.clientWidth || 600);
      const most = Math.max(this.n, 1);
      this.size = Math.max(3, Math.min(22, Math.floor((room - 110) / most)));
      this.every = Math.ceil(11 / this.size); // draw every nth label, so that labels do not overlap
      const font = `12px ${style.fontFamily}`;
      context.font = font;
      const wide = (labels) => Math.min(100, Math.max(0, ...labels.map((l) => context.measureText(l).width)));
      this.left = Math.ceil(wide(view.rows.labels)) + 8;
      this.top = Math.ceil(wide(view.columns.labels)) + 8;
      const width = this.left + this.n * this.size + 1, height = this.top + this.m * this.size + 1;
      // Browsers leave larger canvases empty.
      const ratio = Math.min(window.devicePixelRatio || 1, 16000 / Math.max(width, height));
      this.canvas.width = Math.ceil(width * ratio);
      this.canvas.height = Math.ceil(height * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
      context.scale(ratio, ratio);
      this.drawCells(context, view, style);
      this.drawLabels(context, view, style, font);
      this.canvas.setAttribute("aria-label", `${this.m} rows by ${this.n} columns`);
    }

    drawCells(context, view, style) {
      const hue = style.getPropertyValue("--trf-hue").trim();
      context.strokeStyle = style.getPropertyValue("--trf-line");
      const { left, top, size, m, n } = this;
      context.strokeRect(left - 0.5, top - 0.5, n * size + 1, m * size + 1);
      const gap = size >= 8 ? 1 : 0;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          const part = view.high > view.low ? (view.values[i * n + j] - view.low) / (view.high - view.low) : 0;
          const x = left + (this.mirrored ? n - 1 - j : j) * size;
          context.fillStyle = `rgb(${hue} / ${Math.max(0, Math.min(1, part)).toFixed(3)})`;
          context.fillRect(x, top + i * size, size - gap, size - gap);
        }
      }
    }

    drawLabels(context, view, style, font) {
      const { left, top, size } = this;
      const shorten = (label) => {
        if (context.measureText(label).width <= 100) return label;
        let end = label.length;
        while (end > 1 && context.measureText(`${label.slice(0, end)}…`).width > 100) end--;
        return `${label.slice(0, end)}…`;
      };
      context.font = font;
      context.fillStyle = style.getPropertyValue("--trf-text");
      context.textBaseline = "middle";
      context.textAlign = "right";
      view.rows.labels.forEach((label, i) => {
        if (i % this.every === 0) context.fillText(shorten(label), left - 5, top + (i + 0.5) * size);
      });
      context.textAlign = "left";
      view.columns.labels.forEach((label, j) => {
        if (j % this.every !== 0) return;
        context.save();
        context.translate(left + ((this.mirrored ? this.n - 1 - j : j) + 0.5) * size, top - 5);
        context.rotate(-Math.PI / 2);
        context.fillText(shorten(label), 0, 0);
        context.restore();
      });
    }
  }

  class Picture {
    constructor(figure, payload) {
      this.figure = figure;
      this.payload = payload;
      this.kind = figure.dataset.kind;
      const isAttention = this.kind === "attention";
      this.source = isAttention ? attentionSource(payload) : rangeSource(payload);
      this.state = isAttention
        ? { text: 0, level: payload.level, layer: payload.layers[0], head: payload.heads[0] } : {};
      this.pinned = null;
      const on = {
        hover: (which, i) => this.show(which, i),
        leave: () => this.rest(),
        pin: (which, i) => this.pin(which, i),
        cell: (cell) => (cell ? this.showCell(...cell) : this.rest()),
        pick: (i, j) => this.pick(i, j),
      };
      const names = isAttention ? ["attending", "attended to"]
        : [payload.rows.name || "first text", payload.columns.name || "second text"];
      this.names = payload.same ? ["tokens", "same tokens"] : names;
      this.rows = new Side(this.names[0], "rows", on);
      this.columns = new Side(this.names[1], "columns", on);
      this.readout = make("p", "trf-readout");
      this.readout.setAttribute("aria-live", "polite");
      this.map = new HeatMap(figure, on);
      this.legend = make("div", "trf-legend");
      const view = figure.querySelector(".trf-view");
      view.replaceChildren();
      if (isAttention) {
        this.controls = makeControls(payload, this.state, (change) => this.change(change));
        view.append(this.controls.controls);
      }
      view.append(this.rows.el, this.columns.el, this.readout, this.map.el, this.legend);
      figure.tabIndex = -1; // a click on the matrix moves the focus here, so that Escape works
      figure.addEventListener("keydown", (event) => event.key === "Escape" && this.unpin());
      figure.trfSelect = (layer, head) => this.change({ layer, head });
    }

    async change(change) {
      const turn = (this.turn = (this.turn || 0) + 1);
      // Merged, so that choices made in quick succession are all applied.
      const next = (this.next = { ...this.state, ...this.next, ...change });
      const view = await this.source(next);
      if (turn !== this.turn) return; // another choice was made while the data was unpacked
      if (view.high === undefined) view.high = view.values.reduce((a, b) => Math.max(a, b), 0);
      const refill = !this.view || this.view.rows !== view.rows;
      Object.assign(this.state, next);
      this.view = view;
      if (refill) {
        this.pinned = null;
        this.rows.fill(view.rows, this.payload.dir);
        this.columns.fill(view.columns, this.payload.dir);
      }
      if (this.controls) this.controls.redraw();
      Object.assign(this.figure.dataset, this.kind === "attention"
        ? { layer: this.state.layer, head: this.state.head, level: this.state.level } : {});
      this.drawMap();
      this.rest();
    }

    drawMap() {
      if (!this.view) return;
      this.map.draw(this.view, this.payload.dir === "rtl");
      const { low, high } = this.view;
      this.legend.replaceChildren(
        make("span", "", low.toFixed(2)), make("span", "trf-scale"), make("span", "", high.toFixed(2)),
        make("span", "", `rows: ${this.names[0]}, columns: ${this.names[1]}`));
    }

    at(i, j) { return this.view.values[i * this.view.columns.labels.length + j]; }

    line(which, i) {
      return which === "rows"
        ? this.view.columns.labels.map((_, j) => this.at(i, j))
        : this.view.rows.labels.map((_, j) => this.at(j, i));
    }

    show(which, i) {
      const [here, there] = which === "rows" ? [this.rows, this.columns] : [this.columns, this.rows];
      const values = this.line(which, i);
      const isAttention = this.kind === "attention";
      const most = values.reduce((a, b) => Math.max(a, b), isAttention ? 0 : this.view.low);
      here.shade(null);
      there.shade(values, isAttention ? 0 : this.view.low, most);
      here.mark(i, null);
      there.mark(null, null);
      this.describe(which, i, values);
    }

    describe(which, i, values) {
      const [here, there] = which === "rows" ? ["rows", "columns"] : ["columns", "rows"];
      const labels = this.view[there].labels;
      const own = this.view[here].titles[i];
      const best = values.map((value, j) => [value, j]).sort((a, b) => b[0] - a[0]).slice(0, 5)
        .filter(([value]) => this.kind !== "attention" || value >= 0.0005)
        .map(([value, j]) => `\u2068${labels[j]}\u2069 (${value.toFixed(3)})`);
      const relation = this.kind === "similarity" ? "is most similar to"
        : this.kind === "overlap" ? "overlaps most with"
        : which === "rows" ? "attends to" : "is attended to by";
      this.readout.textContent =
        `\u2068${this.view[here].labels[i]}\u2069 (${own}) ${relation} ${best.join(", ") || "nothing"}`;
    }

    showCell(i, j) {
      this.show("rows", i);
      this.columns.mark(null, j);
      const { rows, columns } = this.view;
      const arrow = this.kind === "attention" ? "→" : "·";
      this.readout.textContent = `\u2068${rows.labels[i]}\u2069 (${rows.titles[i]}) ${arrow} ` +
        `\u2068${columns.labels[j]}\u2069 (${columns.titles[j]}): ${this.at(i, j).toFixed(3)}`;
    }

    // Show the pinned word; without one, the mean attention that each word receives.
    rest() {
      if (!this.view) return;
      if (this.pinned) {
        this.show(...this.pinned);
        return;
      }
      this.rows.mark(null, null);
      this.columns.mark(null, null);
      this.rows.shade(null);
      if (this.kind !== "attention") {
        this.columns.shade(null);
        this.readout.textContent = this.payload.places
          ? "Hover over a head or a cell. Click a cell to show both of its heads below."
          : "Hover over a word or a cell. Click to keep it selected, Escape to clear.";
        return;
      }
      const n = this.view.rows.labels.length;
      const means = this.view.columns.labels.map((_, j) =>
        this.line("columns", j).reduce((a, b) => a + b, 0) / n);
      this.columns.shade(means, 0, means.reduce((a, b) => Math.max(a, b), 0));
      this.readout.textContent =
        "Shading: mean attention received. Hover over a word or a cell. Click to keep it selected, " +
        "Escape to clear.";
    }

    pin(which, i) {
      const again = this.pinned && this.pinned[0] === which && this.pinned[1] === i;
      this.pinned = again ? null : [which, i];
      this.rest();
    }

    unpin() { this.pinned = null; this.rest(); }

    pick(i, j) {
      const { places, rows, columns } = this.payload;
      if (!places) {
        this.pin("rows", i);
        return;
      }
      [[rows, i, places[0]], [columns, j, places[1]]].forEach(([side, k, place]) => {
        const other = this.figure.parentElement.querySelector(`.trf-matrix[data-place="${place}"]`);
        if (!other || !other.trfSelect) return;
        other.trfSelect(Math.floor(k / side.per_line), k % side.per_line);
        if (place === places[0]) other.scrollIntoView({ block: "nearest" });
      });
    }
  }

  const start = async (figure) => {
    figure.dataset.ready = "no";
    const payload = JSON.parse(figure.querySelector("script").textContent);
    const view = figure.querySelector(".trf-view");
    if (typeof DecompressionStream === "undefined") {
      view.textContent = "This picture needs a browser from 2023 or later.";
      return;
    }
    if (!(payload.texts || payload.rows.labels).length) {
      view.textContent = "The text is empty.";
      figure.dataset.ready = "yes";
      return;
    }
    const picture = new Picture(figure, payload);
    await picture.change({});
    new ResizeObserver(() => picture.drawMap()).observe(picture.map.el);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => picture.drawMap());
    figure.dataset.ready = "yes";
  };

  document.querySelectorAll(".trf-matrix:not([data-ready])").forEach((figure) =>
    start(figure).catch((error) => {
      figure.querySelector(".trf-view").textContent = `Cannot draw this picture: ${error.message}`;
    }));
})();
