// Highlight the links of the token or wordpiece under the mouse, or in focus, and describe it.
(() => {
  "use strict";

  const start = (figure) => {
    const readout = figure.querySelector(".trf-readout");
    const tokens = new Map(), pieces = new Map(), links = [...figure.querySelectorAll("line")];
    figure.querySelectorAll(".trf-token").forEach((el) => tokens.set(el.dataset.token, el));
    figure.querySelectorAll(".trf-piece").forEach((el) => pieces.set(el.dataset.row, el));
    const linkedTokens = (el) => el.dataset.tokens.split(" ");
    const boundaries = [...figure.querySelectorAll(".trf-boundary .trf-piece")]
      .map((el) => [el, new Set(linkedTokens(el))]);

    const clear = () => {
      figure.querySelectorAll(".trf-on").forEach((el) => el.classList.remove("trf-on"));
      readout.textContent = tokens.size ? "Hover over a token or a wordpiece to see its links." : "";
    };
    const highlight = (el) => el && el.classList.add("trf-on");
    const characters = (el) => `characters ${el.dataset.start}-${el.dataset.end}`;
    const text = (el) => el.querySelector("bdi").textContent;
    const weighted = (el) => text(el) + (el.dataset.share === "1" ? "" : ` × 1/${el.dataset.share}`);

    const showToken = (el) => {
      highlight(el);
      const summands = [];
      for (const link of links) {
        if (link.dataset.token !== el.dataset.token) continue;
        highlight(link);
        const piece = pieces.get(link.dataset.row);
        highlight(piece);
        summands.push(weighted(piece));
      }
      for (const [piece, linked] of boundaries) {
        if (!linked.has(el.dataset.token)) continue;
        highlight(piece);
        summands.push(weighted(piece));
      }
      const sum = summands.length ? summands.join(" + ") : "no wordpieces";
      readout.textContent = `token ${el.dataset.token}, ${characters(el)}: ${sum}`;
    };

    const showPiece = (el) => {
      highlight(el);
      linkedTokens(el).forEach((i) => highlight(tokens.get(i)));
      links.forEach((link) => link.dataset.row === el.dataset.row && highlight(link));
      const share = el.dataset.share;
      const parts = [`wordpiece ${el.dataset.row}`, `id ${el.dataset.id}`];
      if (el.dataset.type !== undefined) parts.push(`type ${el.dataset.type}`);
      parts.push(el.closest(".trf-boundary") ? "boundary piece" : characters(el));
      parts.push(share === "1" ? "weight 1" : `weight 1/${share} for each of ${share} tokens`);
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
