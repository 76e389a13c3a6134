// Hovering, or focus, on a token or a wordpiece: its links and what it is.
(() => {
  "use strict";

  const start = (figure) => {
    const readout = figure.querySelector(".trf-readout");
    const tokens = new Map(), pieces = new Map(), links = [...figure.querySelectorAll("line")];
    figure.querySelectorAll(".trf-token").forEach((el) => tokens.set(el.dataset.token, el));
    figure.querySelectorAll(".trf-piece").forEach((el) => pieces.set(el.dataset.row, el));
    const lines = new Map();
    figure.querySelectorAll(".trf-line").forEach((line) =>
      line.querySelectorAll(".trf-token").forEach((el) => lines.set(el, line)));

    const clear = () => {
      figure.querySelectorAll(".trf-on").forEach((el) => el.classList.remove("trf-on"));
      readout.textContent = tokens.size ? "Point at a token or a wordpiece." : "";
    };
    const light = (el) => el && el.classList.add("trf-on");
    const characters = (el) => `characters ${el.dataset.start}-${el.dataset.end}`;
    const text = (el) => el.querySelector("bdi").textContent;

    const showToken = (el) => {
      light(el);
      const found = [];
      for (const link of links) {
        if (link.dataset.token !== el.dataset.token) continue;
        light(link);
        const piece = pieces.get(link.dataset.row);
        light(piece);
        found.push(text(piece) + (piece.dataset.share === "1" ? "" : ` × 1/${piece.dataset.share}`));
      }
      const line = lines.get(el);
      if (line && !line.classList.contains("trf-cut")) {
        line.querySelectorAll(".trf-boundary .trf-piece").forEach((piece) => {
          light(piece);
          found.push(text(piece) + (piece.dataset.share === "1" ? "" : ` × 1/${piece.dataset.share}`));
        });
      }
      const sum = found.length ? found.join(" + ") : "no wordpieces";
      readout.textContent = `token ${el.dataset.token}, ${characters(el)}: ${sum}`;
    };

    const showPiece = (el) => {
      light(el);
      if (el.closest(".trf-boundary")) {
        el.closest(".trf-line").querySelectorAll(".trf-token").forEach(light);
      } else {
        el.dataset.tokens.split(" ").forEach((i) => light(tokens.get(i)));
        links.forEach((link) => link.dataset.row === el.dataset.row && light(link));
      }
      const share = el.dataset.share;
      const parts = [`wordpiece ${el.dataset.row}`, `id ${el.dataset.id}`];
      if (el.dataset.type !== undefined) parts.push(`type ${el.dataset.type}`);
      parts.push(el.closest(".trf-boundary") ? "a boundary piece" : characters(el));
      parts.push(share === "1" ? "weight 1" : `weight 1/${share} to each of ${share} tokens`);
      readout.textContent = parts.join(", ");
    };

    const show = (event) => {
      const el = event.target.closest(".trf-token, .trf-piece");
      if (!el) return;
      clear();
      (el.classList.contains("trf-token") ? showToken : showPiece)(el);
    };
    figure.addEventListener("mouseover", show);
    figure.addEventListener("focusin", show);
    figure.addEventListener("mouseleave", clear);
    clear();
    figure.dataset.ready = "yes";
  };

  document.querySelectorAll(".trf-alignment:not([data-ready])").forEach(start);
})();
