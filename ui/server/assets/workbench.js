// What the page needs in the browser beyond Gradio: our widgets, the address, the keys.
// Texts of a dataset reach the page through textContent and attributes only, never as HTML.
(() => {
  const facts = window.workbenchFacts;
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (key === "onclick") element.addEventListener("click", value);
      else if (key === "width") element.style.width = value;
      else if (key === "left") element.style.left = value;
      else element.setAttribute(key, value === true ? "" : value);
    }
    for (const child of children) if (child !== undefined && child !== null) element.append(child);
    return element;
  };
  const visible = (element) => element && element.offsetParent !== null && !element.disabled;
  const percent = (share) => `${Math.max(0, Math.min(1, share || 0)) * 100}%`;

  // ---- a curve: every point drawn, y from 0 (or by powers of ten), the point under the pointer read out ----
  const logarithmic = new Set();
  const shape = (name, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, part] of Object.entries(attributes)) element.setAttribute(key, part);
    element.append(...children);
    return element;
  };
  const evenly = (most) => {
    const ten = 10 ** Math.floor(Math.log10(most / 4));
    return ten * [1, 2, 2.5, 5, 10].find((part) => part * ten * 4 >= most * 0.999);
  };
  const multiples = (most, by) => Array.from({ length: Math.floor(most / by + 1e-9) + 1 }, (_, index) => index * by);
  const plotted = (value, label, read, byTens) => {
    const [wide, high, left, right, top, bottom] = [400, 220, 52, 10, 8, 34];
    const points = byTens ? value.points.filter((point) => point[1] > 0) : value.points;
    const shown = (y) => value.percent ? `${+(y * 100).toFixed(1)} %`
      : y && Math.abs(y) < 1e-3 ? y.toExponential(1).replace(".0e", "e") : String(+y.toPrecision(4));
    const count = (x) => x.toLocaleString(facts.language);
    const xMax = Math.max(1, value.x_max ?? 0, ...value.points.map((point) => point[0]));
    const most = Math.max(...points.map((point) => point[1]), 0) || 1;
    const [first, last] = byTens
      ? [Math.floor(Math.log10(Math.min(...points.map((point) => point[1]), most))), Math.ceil(Math.log10(most) + 1e-9)] : [];
    const step = value.y_max ? value.y_max / 4 : evenly(most);
    const yMax = value.y_max ?? Math.ceil(most / step - 1e-9) * step;
    const share = (y) => byTens ? (Math.log10(y) - first) / Math.max(last - first, 1) : y / yMax;
    const xAt = (x) => left + (x / xMax) * (wide - left - right);
    const yAt = (y) => high - bottom - share(y) * (high - top - bottom);
    const lines = byTens ? multiples(Math.max(last - first, 1), 1).map((n) => 10 ** (first + n)) : multiples(yMax, step);
    const mark = shape("circle", { class: "wb-mark", r: 5, cx: -9, cy: -9 });
    const newest = value.points.at(-1);
    const picture = shape("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img",
      "aria-label": `${label}: ${value.x_title ?? ""} ${count(newest[0])}, ${shown(newest[1])}` },
      ...lines.flatMap((y) => [
        shape("line", { class: "wb-grid-line", x1: left, x2: wide - right, y1: yAt(y), y2: yAt(y) }),
        shape("text", { x: left - 5, y: yAt(y) + 3.5, "text-anchor": "end" }, shown(y))]),
      ...multiples(xMax, Math.max(1, Math.round(evenly(xMax)))).map((x) =>
        shape("text", { x: xAt(x), y: high - bottom + 14, "text-anchor": "middle" }, count(x))),
      shape("text", { x: (left + wide - right) / 2, y: high - 4, "text-anchor": "middle" }, value.x_title ?? ""),
      ...(value.spans ?? []).map(([low, up], index) => {
        const x = xAt(value.points[index][0]);
        return shape("line", { class: "wb-span", x1: x, x2: x, y1: yAt(low), y2: yAt(up) });
      }),
      shape("polyline", { points: points.map(([x, y]) => `${xAt(x)},${yAt(y)}`).join(" ") }),
      ...points.map(([x, y]) => shape("circle", { cx: xAt(x), cy: yAt(y), r: points.length > 120 ? 1.4 : 2.6 })), mark);
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * wide;
      const away = (point) => Math.abs(xAt(point[0]) - x);
      const near = points.reduce((best, point) => away(point) < away(best) ? point : best, points[0]);
      if (!near) return;
      mark.setAttribute("cx", xAt(near[0]));
      mark.setAttribute("cy", yAt(near[1]));
      read.textContent = `${value.x_title ?? ""} ${count(near[0])} · ${shown(near[1])}`;
    });
    picture.addEventListener("pointerleave", () => { mark.setAttribute("cx", -9); read.textContent = ""; });
    return picture;
  };

  // ---- widgets: value -> elements; `pick(key)` tells the server what was clicked ----
  const draw = {
    gallery(value, pick, label) {
      if (!value.cells?.length) return [make("p", { class: "wb-empty" }, value.empty ?? "")];
      const cells = value.cells.map((cell) =>
        make("button", {
          type: "button", class: `wb-cell ${cell.mark ? "wb-" + cell.mark : ""}`, "data-key": cell.key,
          "aria-pressed": String(cell.key === value.chosen), onclick: () => pick(cell.key),
        },
          make("img", { src: cell.src, alt: cell.caption || cell.key, loading: "lazy", decoding: "async" }),
          make("span", { class: "wb-caption" }, cell.caption ?? ""),
          cell.note ? make("span", { class: "wb-note" }, cell.note) : null));
      return [make("div", { class: "wb-grid", role: "group", "aria-label": label }, ...cells)];
    },
    bars(value, pick, label) {
      const title = value.title ? make("h3", {}, value.title) : null;
      if (!value.rows?.length) return [title, value.empty ? make("p", { class: "wb-empty" }, value.empty) : null];
      const rows = value.rows.map((row) => {
        const interval = row.low === undefined || row.low === null ? null
          : make("span", { class: "wb-interval", left: percent(row.low), width: percent(row.high - row.low) });
        const inside = [
          make("span", { class: "wb-label", title: row.label }, row.label === "" ? "\u00a0" : row.label),
          make("span", { class: "wb-track", "aria-hidden": "true" },
            make("span", { class: "wb-fill", width: percent(row.share) }), interval),
          make("span", { class: "wb-text" }, row.text ?? ""),
        ];
        const line = row.key === undefined
          ? make("div", { class: "wb-bar" }, ...inside)
          : make("button", { type: "button", class: "wb-bar", "data-key": row.key,
              "aria-pressed": String(Boolean(row.chosen)), onclick: () => pick(row.key) }, ...inside);
        return make("li", {}, line);
      });
      const reach = value.rows.some((row) => row.key !== undefined) ? undefined : "0"; // a list that scrolls takes the focus
      return [title, make("ul", { class: "wb-list", "aria-label": label || value.title, tabindex: reach }, ...rows)];
    },
    matrix(value, pick, label) {
      if (!value.rows?.length) return [value.empty ? make("p", { class: "wb-empty" }, value.empty) : null];
      const most = Math.max(1, ...value.cells.flatMap((row, r) =>
        row.filter((_, c) => value.rows[r] !== value.columns[c])));
      const head = make("tr", {},
        make("th", { scope: "col" }, `${value.row_title ?? ""} ↓ · ${value.column_title ?? ""} →`),
        ...value.columns.map((text) => make("th", { scope: "col", title: text }, text)));
      const body = value.rows.map((text, r) =>
        make("tr", {}, make("th", { scope: "row", title: text }, text),
          ...value.columns.map((column, c) => {
            const count = value.cells[r][c];
            const right = text === column;
            const cell = count
              ? make("button", { type: "button", "data-key": `${r}:${c}`, onclick: () => pick(`${r}:${c}`),
                  "aria-label": `${text} → ${column}: ${count}` }, String(count))
              : "\u00b7";
            const shade = right ? 0 : Math.ceil((count / most) * 4);
            return make("td", { class: right ? "wb-right" : `wb-shade${shade}` }, cell);
          })));
      return [make("div", { class: "wb-scroll", tabindex: "0", role: "region", "aria-label": label },
        make("table", { class: value.columns.length > 6 ? "wb-many" : undefined }, make("thead", {}, head), make("tbody", {}, ...body)))];
    },
    picture(value, _pick, label) {
      if (!value.src) return [];
      const image = make("img", { src: value.src, alt: value.alt || label });
      const whole = (...inside) => make("a", { href: value.whole, target: "_blank", rel: "noopener" }, ...inside);
      const figure = make("figure", {}, value.whole ? whole(image) : image,
        value.caption ? make("figcaption", {}, value.caption) : null,
        value.whole ? make("p", {}, whole(value.to_whole)) : null);
      if (value.broken) image.addEventListener("error", () => {
        figure.replaceChildren(make("p", { class: "wb-empty", role: "alert" }, value.broken));
      });
      return [figure];
    },
    facts(value, pick, label) {
      if (!value.rows?.length) return [value.empty ? make("p", { class: "wb-empty" }, value.empty) : null];
      const head = value.head?.some(Boolean)
        ? make("thead", {}, make("tr", {}, ...value.head.map((text) => make("th", { scope: "col" }, text)))) : null;
      const body = value.rows.map((row, r) => {
        const key = value.keys?.[r];
        return make("tr", { class: value.marks?.[r] ? `wb-${value.marks[r]}` : undefined },
          ...row.map((text, c) => make("td", {},
            c === 0 && key ? make("button", { type: "button", "data-key": key, onclick: () => pick(key) }, text) : text)));
      });
      return [make("div", { class: "wb-scroll", tabindex: "0", role: "region", "aria-label": label },
        make("table", {}, head, make("tbody", {}, ...body)))];
    },
    progress(value, _pick, label) {
      if (!value.title) return [];
      const known = typeof value.share === "number";
      const bar = value.share === undefined ? null
        : make("div", { class: "wb-track", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100",
            "aria-valuenow": known ? String(Math.floor(value.share * 100)) : undefined, "aria-valuetext": value.text || undefined },
          make("span", { class: known ? "wb-fill" : "wb-fill wb-unknown", width: known ? percent(value.share) : "100%" }));
      return [make("p", { class: `wb-status ${value.mark ? "wb-" + value.mark : ""}` }, value.title), bar,
        value.text ? make("p", { class: "wb-text" }, value.text) : null,
        value.note ? make("p", { class: "wb-note" }, value.note) : null];
    },
    corner() {
      queueMicrotask(relink);
      return [make("nav", { "aria-label": facts.keys.corner },
        make("button", { type: "button", "aria-label": facts.keys.title, title: facts.keys.title, onclick: sheet }, "?"),
        make("a", { id: "wb-language", lang: facts.other.language, hreflang: facts.other.language, href: "/" }, facts.other.text))];
    },
    curve(value, _pick, label) {
      const title = value.title ? make("h3", {}, value.title) : null;
      const note = value.note ? make("p", { class: "wb-note" }, value.note) : null;
      if (!value.points?.length) return [title, make("p", { class: "wb-empty" }, value.empty ?? ""), note];
      const read = make("output", { class: "wb-read", "aria-hidden": "true" });
      const toggle = value.log && make("button", { type: "button", "data-key": "log", onclick: () => {
        logarithmic.has(label) ? logarithmic.delete(label) : logarithmic.add(label);
        root.replaceChildren(plot());
      } }, value.log);
      const plot = () => {
        toggle?.setAttribute("aria-pressed", String(logarithmic.has(label)));
        return plotted(value, label, read, logarithmic.has(label));
      };
      const root = make("div", {}, plot());
      return [make("div", { class: "wb-curve-head" }, title, read, toggle), root, note];
    },
    links(value) {
      return [make("p", {}, ...(value.links ?? []).flatMap((item) =>
        [make("a", { href: "?" + new URLSearchParams(item.view) }, item.text), " "]))];
    },
  };

  const widget = (kind, element, props, trigger, watch) => {
    const render = () => {
      const root = element.querySelector(`.wb-${kind}`) ?? element;
      const value = props.value && typeof props.value === "object" ? props.value : {};
      const focused = root.contains(document.activeElement) ? document.activeElement.dataset?.key : undefined;
      root.replaceChildren(...draw[kind](value, (key) => trigger("select", { key }), props.aria ?? "").filter(Boolean));
      if (focused !== undefined) [...root.querySelectorAll("[data-key]")].find((e) => e.dataset.key === focused)?.focus();
    };
    watch("value", render);
    render();
  };

  // ---- the address: one tab and its view; a reload shows the same ----
  let open = false; // whether the page has drawn what the address asks for
  const opened = () => { open = true; };
  const write = (tab, view) => {
    if (!open) return;
    const panel = document.querySelector(`#tab-${tab}`);
    if (panel && panel.style.display === "none") return;
    const query = new URLSearchParams({ tab, ...(view ?? {}) });
    for (const [name, value] of new URLSearchParams(location.search)) if (name.startsWith("__")) query.set(name, value);
    history.replaceState(history.state, "", `${location.pathname}?${query}`);
    relink();
  };
  const relink = () => {
    const query = new URLSearchParams(location.search);
    query.set("language", facts.other.language);
    const link = document.querySelector("#wb-language");
    if (link) link.href = `/?${query}`;
  };

  // ---- keys: elements say which key is theirs by the class `key-<name>` ----
  const press = (name) => {
    const found = [...document.querySelectorAll(`.key-${name}`)].map((e) => e.matches("button") ? e : e.querySelector("button") ?? e);
    const target = found.find(visible);
    target?.click();
    return Boolean(target);
  };
  const typing = (element) => element?.matches?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true]");
  const searchBox = () => [...document.querySelectorAll(".key-search textarea, .key-search input")].find(visible);
  const shownHere = (selector) => [...document.querySelectorAll(selector)].some((element) => element.offsetParent !== null);
  const sheet = () => {
    const open = document.querySelector("#wb-keys");
    if (open) { open.close(); return; }
    const lines = [
      ["j", "next", shownHere(".key-j")], ["k", "previous", shownHere(".key-k")], ["/", "search", searchBox()],
      ["1–5", "tag", shownHere(".key-1")], ["← → ↑ ↓", "arrows", shownHere(".wb-grid")], ["h ?", "help", true],
    ].filter((line) => line[2]); // of the open tab alone
    const dialog = make("dialog", { id: "wb-keys", "aria-labelledby": "wb-keys-title" },
      make("h2", { id: "wb-keys-title" }, facts.keys.title),
      make("dl", {}, ...lines.flatMap(([key, name]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, facts.keys[name])])),
      make("button", { type: "button", onclick: () => dialog.close() }, facts.keys.close));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };
  // with a Hangul input method the key j is ㅓ, or "Process": then its place on the keyboard counts
  const keyOf = ({ key, code, shiftKey }) => key !== "Process" && /^[\x20-\x7e]/.test(key) ? key
    : { KeyH: "h", KeyJ: "j", KeyK: "k", Slash: shiftKey ? "?" : "/" }[code] ?? key;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
    const key = keyOf(event);
    if (key === "h" || key === "?") sheet();
    else if (document.querySelector("#wb-keys")) return; // nothing happens beneath the sheet
    else if (key === "j" || key === "k") { if (!press(key)) return; }
    else if (/^[1-5]$/.test(key)) { if (!press(key)) return; }
    else if (key === "/") {
      const box = searchBox();
      if (!box) return;
      box.focus();
      box.select();
    } else if (key.startsWith("Arrow") && event.target.closest?.(".wb-grid")) {
      const cells = [...event.target.closest(".wb-grid").querySelectorAll(".wb-cell")];
      const columns = cells.filter((cell) => cell.offsetTop === cells[0].offsetTop).length;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
      cells[cells.indexOf(event.target.closest(".wb-cell")) + step]?.focus();
    } else return;
    event.preventDefault();
  });

  // ---- a search box as one types: Gradio reports keys that make a letter, but nothing pasted, cut or deleted, and
  // no Hangul, which an input method composes; for those we send the event of a key ----
  let keyed = false;
  document.addEventListener("keypress", ({ isTrusted }) => {
    keyed = isTrusted;
    setTimeout(() => { keyed = false; }); // Enter makes no letter
  }, true);
  document.addEventListener("input", ({ target }) => {
    if (!keyed && target.matches?.(".key-search textarea, .key-search input"))
      setTimeout(() => target.dispatchEvent(new KeyboardEvent("keypress", { key: "Unidentified", bubbles: true })));
  }, true);

  // ---- errors: Gradio shows those of its queue alone; here are those of the other events, as text ----
  const MOST_TOASTS = 4;
  const toast = ({ error, title, duration }) => {
    const shelf = document.querySelector("#wb-toasts") ?? document.body.appendChild(make("div", { id: "wb-toasts" }));
    const same = [...shelf.children].find((shown) => shown.querySelector("p").textContent === error);
    if (same) same.remove(); // a timer may say it again and again
    const shown = make("div", { class: "wb-toast", role: "alert" },
      make("strong", {}, title ?? ""), make("p", {}, error),
      make("button", { type: "button", "aria-label": facts.keys.close, title: facts.keys.close, onclick: () => shown.remove() }, "×"));
    shelf.append(shown);
    while (shelf.children.length > MOST_TOASTS) shelf.firstChild.remove();
    if (duration) setTimeout(() => shown.remove(), duration * 1000);
  };
  const send = window.fetch;
  window.fetch = async (input, options) => {
    const reply = await send(input, options);
    if (!reply.ok && new URL(input?.url ?? input, location.href).pathname.includes("/gradio_api/run/"))
      reply.clone().json().then((told) => { if (typeof told.error === "string") toast(told); }, () => {});
    return reply;
  };

  // Gradio takes the language of its own words from the browser; here the page's address decides it.
  for (const [name, value] of [["language", facts.language], ["languages", [facts.language]]])
    Object.defineProperty(navigator, name, { get: () => value, configurable: true });
  document.documentElement.lang = facts.language;

  // Gradio's own English in any language: the names of its buttons, and the beginnings of its toasts.
  const said = (element) => {
    for (const name of ["aria-label", "title"]) {
      const text = element.getAttribute(name);
      if (text && Object.hasOwn(facts.gradio, text) && !element.closest(".wb-widget")) element.setAttribute(name, facts.gradio[text]);
    }
    if (!element.matches(".toast-title, .toast-message-text")) return;
    const node = [...element.childNodes].find((child) => child.nodeType === 3 && child.nodeValue.trim());
    const start = node && Object.keys(facts.gradio).find((text) => node.nodeValue.startsWith(text));
    if (start) node.nodeValue = `${facts.gradio[start]} `; // Gradio goes on with what stands behind it
  };
  if (Object.keys(facts.gradio).length)
    new MutationObserver((records) => {
      for (const { target, addedNodes, type } of records) {
        if (type === "attributes") said(target);
        for (const node of addedNodes) if (node.nodeType === 1) [node, ...node.querySelectorAll("[aria-label],[title],.toast-title,.toast-message-text")].forEach(said);
      }
    }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label", "title"] });

  window.workbench = { widget, opened, write };
})();
